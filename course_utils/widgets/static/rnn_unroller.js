// RNNUnroller: a recurrent net drawn out over a text. Python computes the states; stepping through them happens here.

const STATE = { height: 136, strip: 30, grid: 64 };      // a strip is that wide, a grid at most, unless it needs more
const ROW = { expects: 6, state: 70, embedding: 278, input: 310, height: 336 };
const MAP = { height: 96, row: 12 };                     // every state of the text: the whole, and the highest row
const SMALLEST = 3;                                      // pixels: a unit that is smaller can be neither read nor hit
const GUTTER = 84;
const SHOWN = 8;

/** How a state is laid out: one strip while each unit gets 3 px, else a grid that fills column by column. */
function layState(units) {
  if (units * SMALLEST <= STATE.height) return { columns: 1, rows: units, wide: STATE.strip, high: STATE.height / units };
  const widest = Math.max(STATE.grid, SMALLEST * Math.ceil(units / Math.floor(STATE.height / SMALLEST)));
  let best = null;
  for (let columns = 2; columns <= widest / SMALLEST; columns += 1) {
    const rows = Math.ceil(units / columns);
    const side = Math.floor(Math.min(STATE.height / rows, widest / columns));
    const worth = side - (rows * columns === units ? 0 : 1.5);        // rather a little smaller than with empty corners
    if (side >= SMALLEST && !(best?.worth >= worth)) best = { columns, rows, wide: side, high: side, worth };
  }
  return best;
}

/** The rows of the map below: all units, or every k-th where they would become too small. */
function layMap(units) {
  const every = Math.ceil(units / Math.floor(MAP.height / SMALLEST));
  const rows = Math.ceil(units / every);
  return { every, rows, high: Math.min(MAP.row, Math.floor(MAP.height / rows)) };
}

const ordinal = (number) => `${number}${(Math.floor(number / 10) % 10 === 1 ? "" : ["", "st", "nd", "rd"][number % 10]) || "th"}`;

/** What Python sent, ready to be drawn. states: row t - 1 is h_t. */
function readAnswer(answer, tokens) {
  const [embedded, states, probabilities] = ["embedded", "states", "probabilities"].map((name) => decode(answer[name]));
  const characters = answer.ids.map((id) => legible(tokens[id]));
  const [steps, units] = states.shape;
  const largest = Math.max(1, states.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  const widest = embedded.data.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const vocabulary = probabilities.shape[1];
  return {
    text: answer.text, ids: answer.ids, characters, steps, units, largest, widest, replaced: answer.replaced ?? 0, unknown: answer.unknown ?? "",
    grid: layState(units), map: layMap(units), features: embedded.shape[1],
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
  const replaced = make("div", { class: "rta-note" });
  const fieldRow = make("div", { class: "rta-wide" }, make("label", { class: "rta-field" }, "Text", field), replaced);

  // ------------------------------------------------------------ pictures
  const chainBox = make("div", {});
  const expectedTitle = make("div", { class: "rta-caption" });
  const bars = make("div", { class: "rta-bars" });
  const allTitle = make("div", { class: "rta-caption" });
  const allBox = make("div", { class: "rta-wide" }, allTitle);
  card.body.append(make("div", { class: "rta-unroller" }, fieldRow, chainBox, make("div", {}, expectedTitle, bars), allBox));
  const chain = makeStage(chainBox, { height: ROW.height, label: "The net drawn once for every step", paint: guarded(card, paintChain), signal });
  const all = makeStage(allBox, { height: MAP.height + 24, label: "Every state of the text", paint: guarded(card, paintAll), signal });

  /** Which steps are drawn, how far apart, and how large their states are. */
  function chainOf(width) {
    const { reading, t } = view;
    const { columns, rows, wide, high } = reading.grid;
    const state = { width: columns * wide, height: rows * high, top: ROW.state + (STATE.height - rows * high) / 2 };
    const most = Math.floor((width - GUTTER) / (state.width + 62));
    const steps = Math.max(2, Math.min(reading.steps + 1, most));
    return { state, steps, pitch: Math.min(state.width + 98, (width - GUTTER) / steps), start: within(t - steps + 2, 0, reading.steps + 1 - steps) };
  }

  function paintChain(width) {
    const { reading } = view;
    const context = chain.clear(width, ROW.height);
    const { state, steps, pitch, start } = chainOf(width);
    const middle = ROW.state + STATE.height / 2;
    for (const [y, lines] of [[ROW.expects + 15, ["expects"]], [middle - 6, ["hidden", "state"]], [ROW.embedding + 9, ["embedding"]], [ROW.input + 13, ["reads"]]]) {
      lines.forEach((text, index) => chain.add("text", { class: "dim small", x: 0, y: y + 16 * index, text }));
    }
    for (let step = start; step < start + steps; step += 1) {
      paintStep(context, step, { x: GUTTER + (step - start + 0.5) * pitch, pitch, linked: step > start, state });
    }
    if (start > 0) chain.add("text", { class: "dim", x: GUTTER - 14, y: middle + 4, text: "…" });
    if (start + steps <= reading.steps) chain.add("text", { class: "dim", x: width - 8, y: middle + 4, text: "…" });
  }

  function paintStep(context, step, { x, pitch, linked, state }) {
    const { t } = view;
    const faint = step > t ? "faint" : step === t ? "now" : "";
    const half = state.width / 2 + 10;
    const cell = { x: x - half, y: ROW.state - 10, width: 2 * half, height: STATE.height + 38 };
    if (linked) {
      const middle = ROW.state + STATE.height / 2;
      arrow(chain.add, [x - pitch + half, middle], [x - half, middle], faint);
      weightMark(context, "h", x - pitch / 2 - 10, middle - 30, faint);
    }
    const role = step === t ? "brand" : step === t - 1 ? "brand dashed" : `line ${faint}`;
    chain.add("rect", { ...cell, rx: 8, class: role });
    chain.add("text", { class: `dim small ${faint}`, x, y: ROW.state + STATE.height + 20, "text-anchor": "middle", text: step === 0 ? "start" : model.get("cell") });
    paintState(context, step, x, state, faint);
    nameState(step, x, faint);
    if (step > 0) {
      paintExpected(context, step, x, faint);
      paintInput(context, step, x, faint);
    }
  }

  /** One cell for every unit; the chosen unit is framed in the two states of this step. */
  function paintState(context, step, x, state, faint) {
    const { reading, t, unit } = view;
    const { columns, rows, wide, high } = reading.grid;
    const theme = themeNow();
    const left = Math.round(x - state.width / 2);
    const value = (row, column) => (column * rows + row < reading.units ? reading.state(step, column * rows + row) / reading.largest : NaN);
    if (step <= t) {
      const cells = cellPicture({ rows, columns, value, colour: theme.signed });
      paintCells(context, { ...cells, missing: [] }, theme.mask, left, state.top, state.width, state.height);
    }
    chain.add("rect", { class: `line ${faint}`, x: left, y: state.top, width: state.width, height: state.height });
    if (step !== t && step !== t - 1) return;
    const [column, row] = [Math.floor(unit / rows), unit % rows];
    chain.add("rect", { class: "mark", x: left + column * wide - 0.5, y: state.top + row * high - 0.5, width: wide + 1, height: high + 1 });
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

  /** From below: the character, its embedding x_t, and the arrow along which W_x carries it into the cell. */
  function paintInput(context, step, x, faint) {
    const { reading, t } = view;
    const theme = themeNow();
    arrow(chain.add, [x, ROW.embedding - 3], [x, ROW.state + STATE.height + 29], faint);
    weightMark(context, "x", x + 8, ROW.embedding - 34, faint);
    const strip = { x: x - 24, y: ROW.embedding, width: 48, height: 10 };
    if (step <= t) {
      const cells = cellPicture({ rows: 1, columns: reading.features, value: (_, feature) => reading.embedding(step, feature) / reading.widest, colour: theme.signed });
      paintCells(context, cells, theme.mask, strip.x, strip.y, strip.width, strip.height);
    }
    chain.add("rect", { ...strip, class: step === t ? "brand" : `line ${faint}` });
    if (step === t) chain.add("text", { class: "strong", x: x + 30, y: ROW.embedding + 9 }, ...svgSub("x", "t"));
    chain.add("line", { class: `ink ${faint}`, x1: x, y1: ROW.input - 9, x2: x, y2: ROW.embedding + 13 });
    const box = { x: x - 15, y: ROW.input - 7, width: 30, height: 28 };
    chain.add("rect", { ...box, rx: 4, class: `line ${faint}` });
    chain.add("text", { class: `mono ${step === t ? "strong" : ""} ${faint}`, x, y: ROW.input + 12, "text-anchor": "middle", text: shortened(reading.characters[step - 1], 3) });
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
    const { every, rows, high } = reading.map;
    const theme = themeNow();
    const tall = rows * high;
    const context = all.clear(width, tall + 24);
    const { pitch, left, width: wide } = columnsOf(width);
    if (view.painted?.reading !== reading || view.painted.theme !== theme) {      // not at every step
      const value = (row, column) => reading.state(column + 1, row * every) / reading.largest;
      view.painted = { reading, theme, cells: cellPicture({ rows, columns: reading.steps, value, colour: theme.signed }) };
    }
    paintCells(context, view.painted.cells, theme.mask, left, 0, wide, tall);
    context.globalAlpha = 0.9;         // what has not been read yet
    context.fillStyle = getComputedStyle(card.root).backgroundColor;
    context.fillRect(left + t * pitch, 0, wide - t * pitch, tall);
    context.globalAlpha = 1;
    all.add("text", { class: "dim small", x: 0, y: 12, text: "unit 0" });
    if (tall >= 32) all.add("text", { class: "dim small", x: 0, y: tall - 2, text: `unit ${(rows - 1) * every}` });
    if (pitch >= 9) {
      reading.characters.forEach((character, index) => all.add("text", { class: `mono ${index + 1 > t ? "faint" : ""}`, "text-anchor": "middle",
        x: left + (index + 0.5) * pitch, y: tall + 17, text: shortened(character, 2) }));
    } else {
      all.add("text", { class: "dim small", x: left, y: tall + 17, text: "step 1" });
      all.add("text", { class: "dim small", x: left + wide, y: tall + 17, "text-anchor": "end", text: `step ${reading.steps}` });
    }
    all.add("rect", { class: "brand", x: left + (t - 1) * pitch - 1, y: -1, width: pitch + 2, height: tall + 2, rx: 2 });
    // A unit that has no row of its own is marked at its place between two rows.
    all.add("rect", { class: "mark", x: left + (t - 1) * pitch + 1, y: (unit / every) * high, width: Math.max(1, pitch - 2), height: high });
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
        make(actual ? "b" : "span", { class: "rta-mono", text: probability < 0.005 ? "<0.01" : fixed(probability, 2) }),
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
      `${reading.map.every > 1 ? `Every ${ordinal(reading.map.every)} of ${reading.units}` : `All ${reading.units}`} hidden units over the text, blue below zero, orange above:`);
    replaced.hidden = reading.replaced === 0;
    replaced.textContent = `${reading.replaced} ${reading.replaced === 1 ? "character is" : "characters are"} not in the vocabulary and ${reading.replaced === 1 ? "is" : "are"} read as ${legible(reading.unknown)}`;
    moveTo(position ?? reading.steps);
  }

  roving(all.stage, { size: () => [view.reading.units, view.reading.steps], get: () => [view.unit, view.t - 1],
    move: (unit, column) => { player.stop(); moveTo(column + 1, unit); } });
  /** A click or a drag over a picture; pick turns a place in it into [step, unit], or null where there is nothing. */
  function pointing(stage, pick) {
    const point = (event) => {
      const box = stage.getBoundingClientRect();
      const found = pick(event.clientX - box.left, event.clientY - box.top, box.width);
      if (found) moveTo(...found);
    };
    stage.addEventListener("pointerdown", (event) => { player.stop(); stage.setPointerCapture(event.pointerId); point(event); });
    stage.addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
  }
  pointing(all.stage, (x, y, width) => {
    const { pitch, left } = columnsOf(width);
    const { every, rows, high } = view.reading.map;
    return [1 + Math.floor((x - left) / pitch), every * within(Math.floor(y / high), 0, rows - 1)];
  });
  // In the chain only the unit changes: the steps would move away under the pointer.
  pointing(chain.stage, (x, y, width) => {
    const { state, steps, pitch, start } = chainOf(width);
    const { columns, rows, wide, high } = view.reading.grid;
    const place = Math.floor((x - GUTTER) / pitch);
    const left = Math.round(GUTTER + (place + 0.5) * pitch - state.width / 2);
    const [column, row] = [Math.floor((x - left) / wide), Math.floor((y - state.top) / high)];
    const drawn = place >= 0 && place < steps && start + place <= view.t;
    const inside = column >= 0 && column < columns && row >= 0 && row < rows && column * rows + row < view.reading.units;
    return drawn && inside ? [view.t, column * rows + row] : null;
  });
  card.root.numbers = () => {
    const { reading, t } = view;
    return {
      text: reading.text, position: t, unit: view.unit,
      state: Array.from({ length: reading.units }, (_, unit) => reading.state(t, unit)),
      probabilities: tokens.map((_, id) => reading.probability(t, id)),
    };
  };
  guarded(card, () => take(model.get("answer"), model.get("position")))();
  field.value = toField(model.get("answer").text);
}

export default { render };
