// RNNUnroller: a recurrent net drawn out over a text. Python computes the states; stepping through them happens here.

const STRIP = { width: 30, height: 136 };
const ROW = { expects: 6, state: 70, input: 278, embedding: 312, height: 324 };
const GUTTER = 74;
const SHOWN = 8;

/** What Python sent, ready to be drawn. states: row t - 1 is h_t. */
function readAnswer(answer, tokens) {
  const [embedded, states, probabilities] = ["embedded", "states", "probabilities"].map((name) => decode(answer[name]));
  const characters = answer.ids.map((id) => legible(tokens[id]));
  const [steps, units] = states.shape;
  const largest = Math.max(1, states.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  const widest = embedded.data.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const vocabulary = probabilities.shape[1];
  return {
    text: answer.text, ids: answer.ids, characters, steps, units, largest, widest,
    features: embedded.shape[1],
    embedding: (t, feature) => embedded.data[(t - 1) * embedded.shape[1] + feature],
    state: (t, unit) => (t === 0 ? 0 : states.data[(t - 1) * units + unit]),
    probability: (t, id) => probabilities.data[(t - 1) * vocabulary + id],
    /** Token ids after step t, the likeliest first. */
    ranked: (t) => Array.from({ length: vocabulary }, (_, id) => id)
      .sort((a, b) => probabilities.data[(t - 1) * vocabulary + b] - probabilities.data[(t - 1) * vocabulary + a]),
  };
}

/** The text field shows ␣ as a space but line ends as ↵, because it has one line. */
const toField = (text) => text.replaceAll("\n", "↵").replaceAll("\t", "⇥");
const fromField = (text) => text.replaceAll("↵", "\n").replaceAll("⇥", "\t");

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "rnn-unroller", title: "A recurrent net, unrolled" });
  const tokens = model.get("tokens");
  const thumbnails = model.get("weights").count
    ? { x: decode(model.get("weights").from_input), h: decode(model.get("weights").from_state) } : null;
  const view = { reading: null, t: 1, unit: 0, painted: null };
  const themeNow = followTheme(card.root, () => show(), signal);

  // ------------------------------------------------------------ controls
  const player = makePlayer({ first: 1, last: () => view.reading.steps, get: () => view.t, move: (t) => moveTo(t), signal });
  card.controls.append(player);
  const field = make("input", { type: "text", spellcheck: "false", autocomplete: "off", "aria-label": "Text to read" });
  const asker = makeAsker({
    model, signal, busy: card.busy, failed: (message) => card.fail(message),
    answered: guarded(card, (answer) => { player.stop(); take(answer); }),
  });
  const ask = (now) => { player.stop(); asker.ask({ text: fromField(field.value) }, now); };
  field.addEventListener("input", () => ask(false));
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") ask(true); });
  const fieldRow = make("label", { class: "rta-field rta-wide" }, "Text", field);

  // ------------------------------------------------------------ pictures
  const chainBox = make("div", {});
  const expectedTitle = make("div", { class: "rta-caption" });
  const bars = make("div", { class: "rta-bars" });
  const allTitle = make("div", { class: "rta-caption" });
  const allBox = make("div", { class: "rta-wide" }, allTitle);
  card.body.append(make("div", { class: "rta-unroller" }, fieldRow, chainBox, make("div", {}, expectedTitle, bars), allBox));
  const chain = makeStage(chainBox, { height: ROW.height, label: "The net drawn once for every step", paint: guarded(card, paintChain), signal });
  const all = makeStage(allBox, { height: 84, label: "Every state of the text", paint: guarded(card, paintAll), signal });

  function paintChain(width) {
    const { reading, t } = view;
    const context = chain.clear(width, ROW.height);
    const columns = Math.max(2, Math.min(reading.steps + 1, Math.floor((width - GUTTER) / 92)));
    const pitch = Math.min(128, (width - GUTTER) / columns);
    const start = within(t - columns + 2, 0, reading.steps + 1 - columns);
    for (const [y, lines] of [[ROW.expects + 15, ["expects"]], [ROW.state + 62, ["hidden", "state"]], [ROW.input + 14, ["reads"]], [ROW.embedding + 9, ["embedding"]]]) {
      lines.forEach((text, index) => chain.add("text", { class: "dim small", x: 0, y: y + 14 * index, text }));
    }
    for (let step = start; step < start + columns; step += 1) {
      paintStep(context, step, GUTTER + (step - start + 0.5) * pitch, pitch, step > start);
    }
    if (start > 0) chain.add("text", { class: "dim", x: GUTTER - 8, y: ROW.state + STRIP.height / 2 + 4, text: "…" });
    if (start + columns <= reading.steps) chain.add("text", { class: "dim", x: width - 8, y: ROW.state + STRIP.height / 2 + 4, text: "…" });
  }

  function paintStep(context, step, x, pitch, linked) {
    const { reading, t } = view;
    const theme = themeNow();
    const faint = step > t ? "faint" : step === t ? "now" : "";
    const cell = { x: x - 25, y: ROW.state - 10, width: 50, height: STRIP.height + 38 };
    if (linked) {
      const middle = ROW.state + STRIP.height / 2;
      arrow(chain.add, [x - pitch + 25, middle], [x - 25, middle], faint);
      weightMark(context, "h", x - pitch / 2 - 10, middle - 30, faint);
    }
    const role = step === t ? "brand" : step === t - 1 ? "brand dashed" : `line ${faint}`;
    chain.add("rect", { ...cell, rx: 8, class: role });
    chain.add("text", { class: `dim small ${faint}`, x, y: ROW.state + STRIP.height + 20, "text-anchor": "middle", text: step === 0 ? "start" : model.get("cell") });
    if (step <= t) {
      const cells = cellPicture({ rows: reading.units, columns: 1, value: (unit) => reading.state(step, unit) / reading.largest, colour: theme.signed });
      paintCells(context, cells, theme.mask, x - STRIP.width / 2, ROW.state, STRIP.width, STRIP.height);
    }
    chain.add("rect", { class: `line ${faint}`, x: x - STRIP.width / 2, y: ROW.state, width: STRIP.width, height: STRIP.height });
    nameState(step, x, faint);
    if (step > 0) {
      paintExpected(context, step, x, faint);
      paintInput(context, step, x, faint);
    }
  }

  /** h₃ beside the arrow above the cell; the two states of this step also get their names. */
  function nameState(step, x, faint) {
    const { t } = view;
    const y = ROW.state - 18;
    const text = chain.add("text", { class: `${step === t || step === t - 1 ? "strong" : "dim"} ${faint}`, x: x + (step === 0 ? 0 : 8), y,
      "text-anchor": step === 0 ? "middle" : "start" }, ...svgSub("h", step));
    if (step === t) text.append(" = ", ...svgSub("h", "t"));
    else if (step === t - 1) text.append(" = ", ...svgSub("h", "t−1"));
    else if (step === 0) text.append(" = 0");
  }

  function paintExpected(context, step, x, faint) {
    const { reading, t } = view;
    const theme = themeNow();
    arrow(chain.add, [x, ROW.state - 10], [x, ROW.expects + 27], faint);
    const box = { x: x - 15, y: ROW.expects - 2, width: 30, height: 26 };
    if (step <= t) {
      const [best] = reading.ranked(step);
      const colour = theme.weight(reading.probability(step, best));
      chain.add("rect", { ...box, rx: 4, class: "line", style: `fill: ${css(colour)}` });
      chain.add("text", { class: "mono", x, y: ROW.expects + 16, "text-anchor": "middle", style: `fill: ${textOn(colour)}`, text: shortened(legible(tokens[best]), 3) });
    } else {
      chain.add("rect", { ...box, rx: 4, class: "line faint" });
    }
  }

  function paintInput(context, step, x, faint) {
    const { reading, t } = view;
    const theme = themeNow();
    arrow(chain.add, [x, ROW.input - 8], [x, ROW.state + STRIP.height + 29], faint);
    weightMark(context, "x", x + 8, ROW.input - 33, faint);
    const box = { x: x - 15, y: ROW.input - 6, width: 30, height: 28 };
    chain.add("rect", { ...box, rx: 4, class: step === t ? "brand" : `line ${faint}` });
    chain.add("text", { class: `mono ${step === t ? "strong" : ""} ${faint}`, x, y: ROW.input + 13, "text-anchor": "middle", text: shortened(reading.characters[step - 1], 3) });
    if (step === t) chain.add("text", { class: "strong", x: x + 20, y: ROW.input + 13 }, ...svgSub("x", "t"));
    if (step <= t) {
      const cells = cellPicture({ rows: 1, columns: reading.features, value: (_, feature) => reading.embedding(step, feature) / reading.widest, colour: theme.signed });
      paintCells(context, cells, theme.mask, x - 24, ROW.embedding, 48, 8);
    }
  }

  /** The same little picture of a matrix at every step: the weights do not change along the text. */
  function weightMark(context, name, x, y, faint, size = 20) {
    const matrix = thumbnails?.[name];
    const theme = themeNow();
    if (matrix) {
      context.globalAlpha = faint === "faint" ? 0.3 : 1;
      const [rows, columns] = matrix.shape;
      const cells = cellPicture({ rows, columns, value: (row, column) => matrix.data[row * columns + column], colour: theme.signed });
      paintCells(context, cells, theme.mask, x, y, size, size);
      context.globalAlpha = 1;
    }
    const label = name === "h" ? { x: x + size / 2, y: y - 7, "text-anchor": "middle" } : { x: x + size + 5, y: y + size - 5 };
    chain.add("text", { class: `${faint === "now" ? "" : "dim"} small ${faint}`, ...label }, ...svgSub("W", name));
  }

  // ------------------------------------------------------------ every state of the text
  function columnsOf(width) {
    const pitch = Math.min(36, (width - GUTTER) / view.reading.steps);
    return { pitch, left: GUTTER, width: pitch * view.reading.steps };
  }

  function paintAll(width) {
    const { reading, t, unit } = view;
    const theme = themeNow();
    const context = all.clear(width, 84);
    const { pitch, left, width: wide } = columnsOf(width);
    if (view.painted?.reading !== reading || view.painted.theme !== theme) {      // up to 50 000 cells: not at every step
      const value = (row, column) => reading.state(column + 1, row) / reading.largest;
      view.painted = { reading, theme, cells: cellPicture({ rows: reading.units, columns: reading.steps, value, colour: theme.signed }) };
    }
    paintCells(context, view.painted.cells, theme.mask, left, 0, wide, 60);
    context.globalAlpha = 0.9;         // what has not been read yet
    context.fillStyle = getComputedStyle(card.root).backgroundColor;
    context.fillRect(left + t * pitch, 0, wide - t * pitch, 60);
    context.globalAlpha = 1;
    all.add("text", { class: "dim small", x: 0, y: 12, text: "unit 0" });
    all.add("text", { class: "dim small", x: 0, y: 58, text: `unit ${reading.units - 1}` });
    if (pitch >= 9) {
      reading.characters.forEach((character, index) => all.add("text", { class: `mono ${index + 1 > t ? "faint" : ""}`, "text-anchor": "middle",
        x: left + (index + 0.5) * pitch, y: 76, text: shortened(character, 2) }));
    } else {
      all.add("text", { class: "dim small", x: left, y: 76, text: "step 1" });
      all.add("text", { class: "dim small", x: left + wide, y: 76, "text-anchor": "end", text: `step ${reading.steps}` });
    }
    all.add("rect", { class: "brand", x: left + (t - 1) * pitch - 1, y: -1, width: pitch + 2, height: 62, rx: 2 });
    const high = 60 / reading.units;
    all.add("rect", { class: "ink", x: left + (t - 1) * pitch + 1, y: unit * high, width: Math.max(1, pitch - 2), height: Math.max(2, high) });
  }

  // ------------------------------------------------------------ what the net expects
  function showExpected() {
    const { reading, t } = view;
    const ranked = reading.ranked(t);
    const next = t < reading.steps ? reading.ids[t] : null;
    const rank = ranked.indexOf(next);
    const shown = ranked.slice(0, SHOWN);
    if (next !== null && rank >= SHOWN) shown.push(next);
    expectedTitle.replaceChildren("next character, given ", make("b", {}, sub("h", "t")));
    bars.replaceChildren(...shown.flatMap((id) => {
      const probability = reading.probability(t, id);
      const actual = id === next;
      const name = shortened(legible(tokens[id]), 6);
      return [
        make(actual ? "b" : "span", { class: "rta-mono", text: name }),
        make("div", { class: actual ? "rta-bar rta-marked" : "rta-bar", style: `width: ${Math.max(0.5, 100 * probability)}%`, data: { id, probability } }),
        make(actual ? "b" : "span", { class: "rta-mono", text: fixed(probability, 2) }),
      ];
    }), ...(next === null ? [] : [make("span"), make("span", { class: "rta-note", text: rank < SHOWN ? "bold: what really comes next" : `bold: what really comes next, rank ${rank + 1} of ${ranked.length}` }), make("span")]));
  }

  function say() {
    const { reading, t, unit } = view;
    const next = t < reading.steps ? reading.ids[t] : null;
    const parts = [make("b", { text: `t = ${t}` }), " reads ", make("code", { text: shortened(reading.characters[t - 1], 24) }), " · unit ", String(unit), ": ",
      make("span", { class: "rta-mono", text: `${fixed(reading.state(t - 1, unit))} → ${fixed(reading.state(t, unit))}` })];
    if (next === null) parts.push(" · the text ends here");
    else {
      const probability = reading.probability(t, next);
      parts.push(" · next is ", make("code", { text: shortened(legible(tokens[next]), 24) }), ": p = ", make("span", { class: "rta-mono", text: fixed(probability) }),
        ", loss −ln p = ", make("span", { class: "rta-mono", text: fixed(-Math.log(probability)) }));
    }
    card.say(...parts, make("span", { class: "rta-note", text: " · arrow keys move over the states" }));
  }

  // ------------------------------------------------------------ moving
  const show = guarded(card, () => {
    chain.redraw();
    all.redraw();
    showExpected();
    say();
    card.root.dataset.position = view.t;
  });
  function moveTo(t, unit = view.unit) {
    view.t = within(t, 1, view.reading.steps);
    view.unit = within(unit, 0, view.reading.units - 1);
    show();
  }
  function take(answer, position) {
    const reading = readAnswer(answer, tokens);
    view.reading = reading;
    if (fromField(field.value) !== reading.text && document.activeElement !== field) field.value = toField(reading.text);
    const count = model.get("weights").count;
    if (["tanh", "relu"].includes(model.get("cell"))) {
      card.note.replaceChildren(sub("h", "t"), ` = ${model.get("cell")}(`, sub("W", "x"), " ", sub("x", "t"), " + ", sub("W", "h"), " ", sub("h", "t−1"), " + ", make("i", { text: "b" }), ")");
    }
    allTitle.replaceChildren(...(count ? [make("b", { text: "The same weights at every step: " }), sub("W", "x"), " and ", sub("W", "h"), `, ${count.toLocaleString("en")} numbers in all. `] : []),
      `All ${reading.units} hidden units over the text, blue below zero, orange above:`);
    moveTo(position ?? reading.steps);
  }

  roving(all.stage, { size: () => [view.reading.units, view.reading.steps], get: () => [view.unit, view.t - 1],
    move: (unit, column) => { player.stop(); moveTo(column + 1, unit); } });
  const point = (event) => {
    const box = all.stage.getBoundingClientRect();
    const { pitch, left } = columnsOf(box.width);
    moveTo(1 + Math.floor((event.clientX - box.left - left) / pitch), Math.floor(((event.clientY - box.top) / 60) * view.reading.units));
  };
  all.stage.addEventListener("pointerdown", (event) => { player.stop(); all.stage.setPointerCapture(event.pointerId); point(event); });
  all.stage.addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
  card.root.numbers = () => {
    const { reading, t } = view;
    return {
      text: reading.text, position: t,
      state: Array.from({ length: reading.units }, (_, unit) => reading.state(t, unit)),
      probabilities: tokens.map((_, id) => reading.probability(t, id)),
    };
  };
  guarded(card, () => take(model.get("answer"), model.get("position")))();
  field.value = toField(model.get("answer").text);
}

export default { render };
