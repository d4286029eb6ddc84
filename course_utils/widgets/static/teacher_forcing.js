// TeacherForcing: one sentence translated twice. Python decodes it at all eleven ratios; the slider chooses here.

const COLUMN = { least: 48, most: 128, padding: 12, gap: 14 };    // pixels: a step is as wide as its widest word
const FIRST = 2;                                         // grid column of step 1: the first holds the names of the rows
const ROWS = { forced: 1, right: 2, forcedReads: 3, forcedBars: 4, forcedSays: 5, forcedText: 6, free: 7, flag: 8, coin: 9,
  freeReads: 10, freeBars: 11, freeSays: 12, freeRight: 13, freeText: 14, loss: 15 };

/** What Python sent, ready to be drawn. Steps count from 0. */
function readAnswer(answer, tokens) {
  const arrays = Object.fromEntries(Object.entries(answer.lanes).map(([name, packed]) => [name, decode(packed)]));
  const coins = decode(answer.drawn).data;
  const [lanes, longest, shown] = arrays.top.shape;
  const { reference } = answer;
  const at = (name, lane, t) => arrays[name].data[lane * longest + t];
  const lane = (index) => {
    const length = arrays.length.data[index];
    const steps = Array.from({ length }, (_, t) => {
      const place = (index * longest + t) * shown;
      const chosen = at("chosen", index, t);
      return {
        input: at("input", index, t), forced: at("forced", index, t) === 1, chosen, loss: at("loss", index, t), coin: coins[t],
        right: t < reference.length ? reference[t] : null, wrong: chosen !== reference[t],
        wrongInput: t > 0 && at("input", index, t) !== reference[t - 1],
        top: Array.from({ length: shown }, (_, rank) => [arrays.top.data[place + rank], arrays.probability.data[place + rank]]),
      };
    });
    const first = steps.findIndex((step) => step.wrong);
    const mean = (shown) => {
      const losses = steps.slice(0, shown + 1).map((step) => step.loss).filter((loss) => !Number.isNaN(loss));
      return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    };
    return { steps, first: first < 0 ? null : first, off: steps.filter((step) => step.wrong).length, written: answer.written[index], mean,
      ended: tokens[steps.at(-1).chosen] === tokens[reference.at(-1)] };
  };
  const all = Array.from({ length: lanes }, (_, index) => lane(index));
  const losses = all.flatMap(({ steps }) => steps.map((step) => step.loss)).filter((loss) => !Number.isNaN(loss));
  return { ...answer, lanes: all, forced: all.at(-1), largest: Math.ceil(Math.max(1, ...losses)) };      // a whole number, for the scale
}

const ROOM = 232;                                        // pixels that the hint how to go on needs

const TOP = "the five likeliest words; a full bar is probability 1, the dark bar is the right word";

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "teacher-forcing", title: "Teacher forcing", note: "which word goes in: the right one, or the one just said?" });
  const tokens = model.get("tokens");
  const word = (id, most = 24) => shortened(legible(tokens[id]), most);
  // t: the step looked at; shown: how far the translation has come. Both count from 0.
  const view = { reading: null, t: 0, shown: 0, lane: Math.round(10 * model.get("ratio")), coins: 0 };
  const free = () => view.reading.lanes[view.lane];
  const last = () => Math.max(view.reading.forced.steps.length, free().steps.length) - 1;

  // ------------------------------------------------------------ controls
  const player = makePlayer({ first: 0, last, get: () => view.shown, move: (t) => moveTo(t, t), signal });
  card.controls.append(player);
  const put = makeSaver(model);
  foldGrammar(card);
  const longer = make("div", { class: "rta-note", text: "longer than any sentence in training", hidden: true });
  const field = make("input", { type: "text", spellcheck: "false", autocomplete: "off", "aria-label": "English sentence" });
  const register = makeSwitch("Register", [["plain", "plain"], ["polite", "polite"]], "plain", (value) => { view.polite = value === "polite"; ask(true); });
  const examples = makeExamples(model.get("examples"), (text) => { field.value = text; ask(true); });
  const slider = makeSlider({ label: "ratio p", min: 0, max: 1, step: 0.1, value: view.lane / 10, show: (value) => value.toFixed(1),
    changed: (value) => {
      player.stop();
      chooseLane(Math.round(10 * value));
      put("ratio", Number(value.toFixed(1)));
    } });
  const toss = make("button", { type: "button", class: "rta-button", text: "New coins", on: { click: () => { view.coins += 1; ask(true); } } });

  const asker = makeAsker({
    model, signal, busy: card.busy, failed: (message) => card.fail(message),
    answered: guarded(card, (answer) => {
      player.stop();
      take(answer);
      if (document.activeElement !== field) field.value = answer.source;          // asked in another view of the widget
    }),
  });
  const ask = (now) => { player.stop(); asker.ask({ source: field.value, polite: view.polite, coins: view.coins }, now); };
  field.addEventListener("input", () => ask(false));
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") ask(true); });

  model.on("change:ratio", guarded(card, () => {              // set in Python
    const lane = Math.round(10 * model.get("ratio"));
    if (lane !== view.lane) { slider.put(lane / 10); chooseLane(lane); }
  }));

  // ------------------------------------------------------------ layout
  const wires = draw("svg", { "aria-hidden": "true" });
  const grid = make("div", { class: "rta-lanes-grid" });
  const lanes = make("div", { class: "rta-lanes", "aria-label": "The steps of both lanes" }, grid);
  const cut = make("div", { class: "rta-cut" });
  const expects = { forced: make("div", {}), free: make("div", {}) };
  const key = (kind, text) => make("span", { class: `rta-chip ${kind}`, text });
  const pair = make("div", { class: "rta-forcing-pair" });
  card.body.append(
    make("div", { class: "rta-forcing-ask" }, make("label", { class: "rta-field" }, "English", field), register, examples),
    make("div", { class: "rta-forcing-told" }, card.error, longer),
    make("div", { class: "rta-forcing-ask" }, slider, toss,
      make("span", { class: "rta-forcing-key" }, make("span", { class: "rta-note", text: "a step reads" }),
        key("rta-given", "the right word"), make("span", { class: "rta-note", text: "or" }), key("rta-own", "the model’s own"))),
    pair,
    make("div", { class: "rta-forcing" }, make("div", { class: "rta-strip" }, lanes, cut),
      make("div", { class: "rta-forcing-side" }, expects.forced, expects.free)),
  );

  // ------------------------------------------------------------ the lanes
  const cell = (row, t, node, kind = "") => {
    node.style.gridRow = ROWS[row];
    node.style.gridColumn = t + FIRST;
    node.dataset.column = t;
    node.dataset.row = row;
    if (kind) node.classList.add(...kind.split(" "));
    return node;
  };
  const across = (row, ...nodes) => {
    const line = make("div", { class: "rta-lane-line", data: { row } }, make("span", {}, ...nodes));
    line.style.gridRow = ROWS[row];
    return line;
  };
  const rowName = (row, text) => {
    const name = make("div", { class: "rta-row-name", text });
    name.style.gridRow = ROWS[row];
    return name;
  };
  const topName = (row) => {
    const name = rowName(row, "top 5");
    name.title = TOP;
    return name;
  };
  const area = (kind, rows, columns) => {
    const box = make("div", { class: kind });
    box.style.gridRow = `${rows[0]} / ${rows[1]}`;
    box.style.gridColumn = `${columns[0]} / ${columns[1]}`;
    return box;
  };

  /** One width for every step, whichever ratio is shown: the widest word that any lane has there. */
  function widths() {
    const ruler = document.createElement("canvas").getContext("2d");
    ruler.font = `600 14px ${getComputedStyle(card.root).fontFamily || "system-ui, sans-serif"}`;        // before it is in the page a card has none
    const { lanes: all, reference } = view.reading;
    return Array.from({ length: Math.max(...all.map(({ steps }) => steps.length)) }, (_, t) => {
      const texts = new Set(t < reference.length ? [word(reference[t])] : []);
      for (const step of all.map(({ steps }) => steps[t])) if (step) texts.add(inputText(step)).add(saysText(step));
      const widest = Math.max(...Array.from(texts, (text) => ruler.measureText(text).width));
      return within(Math.ceil(widest) + COLUMN.padding, COLUMN.least, COLUMN.most);
    });
  }

  const inputText = (step) => (step.wrongInput ? `✗ ${word(step.input)}` : word(step.input));
  const saysText = (step) => (step.wrong ? `✗ ${word(step.chosen)}` : word(step.chosen));
  const saysChip = (step, first) => make("div", { class: `rta-says ${step.wrong ? "rta-off" : ""} ${first ? "rta-first-off" : ""}`.trim(), title: `${word(step.chosen, 200)}${step.wrong ? ": differs from the right word" : ""}` },
    make("span", { text: saysText(step) }));
  function readsChip(step, t) {
    const kind = t === 0 ? "rta-start" : step.forced ? "rta-given" : "rta-own";
    return make("div", { class: `rta-chip ${kind} ${step.wrongInput ? "rta-off" : ""}`.trim(), title: word(step.input, 200) },
      make("span", { text: inputText(step) }));
  }
  const bars = (step) => make("div", { class: "rta-minis", title: TOP }, ...step.top.map(([id, probability]) => make("div", {},
    make("div", { class: id === step.right ? "rta-bar rta-marked" : "rta-bar", style: `width: ${100 * probability}%` }))));

  function forcedLane() {
    const { reading } = view;
    return reading.forced.steps.flatMap((step, t) => [
      cell("right", t, make("div", { class: "rta-right-word", text: word(reading.reference[t]) })),
      ...(t > view.shown ? [] : [cell("forcedReads", t, readsChip(step, t)), cell("forcedBars", t, bars(step)), cell("forcedSays", t, saysChip(step, false))]),
    ]);
  }

  function coin(step, t) {
    if (t === 0) return make("div", { class: "rta-coin rta-note", text: "start" });
    return make("div", { class: `rta-coin ${step.forced ? "rta-heads" : ""}` }, make("span", { class: "rta-disc" }), make("span", { text: fixed(step.coin, 2) }));
  }

  function freeLane() {
    const { steps, first } = free();
    return steps.slice(0, view.shown + 1).flatMap((step, t) => [
      cell("coin", t, coin(step, t)), cell("freeReads", t, readsChip(step, t)), cell("freeBars", t, bars(step)),
      cell("freeSays", t, saysChip(step, t === first)),
      cell("freeRight", t, make("div", { class: "rta-note rta-right-below", text: step.right === null ? "–" : word(step.right) })),
    ]);
  }

  /** While steps are left: in the empty place of the next ones, how to take them. */
  function goOn() {
    const next = view.shown + 1;
    const left = view.widths.slice(next, last() + 1).reduce((sum, width) => sum + width + COLUMN.gap, 0);
    if (left < ROOM) return [];
    const hint = area("rta-go-on", [ROWS.freeReads, ROWS.freeSays + 1], [next + FIRST, -1]);
    hint.append(make("div", { text: "What comes next?" }), make("div", { class: "rta-note", text: "Go on: Step, Play or the → key" }));
    return [hint];
  }

  /** From the first word on that differs: a tinted field under the lane, and its name above. */
  function divergence() {
    const { first, steps } = free();
    if (first === null || first > view.shown) return [];
    const end = Math.min(view.shown + 1, steps.length);
    const name = cell("flag", first, make("div", { class: "rta-flag", text: `first divergence: step ${first + 1}` }),
      first + 1 >= last() ? "rta-flag-end" : "");
    return [area("rta-astray", [ROWS.flag, ROWS.freeRight + 1], [first + FIRST, end + FIRST]), name];
  }

  function losses() {
    const { reading } = view;
    return Array.from({ length: Math.min(last(), view.shown) + 1 }, (_, t) => {
      const bar = (step, kind) => make("div", { class: kind, style: `height: ${step && !Number.isNaN(step.loss) ? Math.max(1, (100 * step.loss) / reading.largest) : 0}%` });
      return cell("loss", t, make("div", { class: "rta-losses" }, bar(reading.forced.steps[t], "rta-loss-forced"), bar(free().steps[t], "rta-loss-free")));
    });
  }

  function headers() {
    const p = (view.lane / 10).toFixed(1);
    const rule = view.lane === 0 ? "each step reads the model’s own last word"
      : view.lane === 10 ? "each step reads the right word: the forced lane again" : `each step reads the right word with probability ${p}, else the model’s own`;
    return [
      across("forced", make("b", { text: "Forced" }), make("span", { class: "rta-note", text: " each step reads the right word, whatever was said before" })),
      across("free", make("b", { text: laneName() }), make("span", { class: "rta-note", text: ` ${rule}` })),
    ];
  }

  function sentence(row, lane) {
    const text = lane.written[Math.min(view.shown, lane.written.length - 1)];
    const done = view.shown >= lane.steps.length - 1;
    const endless = !lane.ended && lane.steps.length === view.reading.limit ? ", never ended" : "";
    const verdict = lane.off === 0 ? "✓ right at every step" : `✗ differs from the right word at ${lane.off} of ${lane.steps.length} steps${endless}`;
    return across(row, make("span", { class: "rta-written", lang: "ko", text: sentenceText(text, 200) }), " ",
      make("span", { class: done && lane.off ? "rta-error" : "rta-note", text: done ? verdict : "…" }),
      make("span", { class: "rta-note", text: ` · mean loss ${fixed(lane.mean(view.shown), 2)}` }));
  }

  /** The name of the bars, which of two bars is whose, and the ends of their scale. */
  function lossName() {
    const whose = (kind, text) => make("div", {}, make("span", { class: `rta-swatch ${kind}` }), ` ${text}`);
    const name = rowName("loss", "");
    name.append(make("div", {}, make("div", { text: "loss −ln p" }), whose("rta-loss-forced", "forced"),
      whose("rta-loss-free", view.lane === 0 ? "free" : `ratio ${(view.lane / 10).toFixed(1)}`)),
    make("div", { class: "rta-loss-scale" }, make("span", { text: String(view.reading.largest) }), make("span", { text: "0" })));
    name.classList.add("rta-loss-name");
    return name;
  }

  function paintLanes() {
    const { reading } = view;
    grid.style.gridTemplateColumns = `max-content ${view.widths.slice(0, last() + 1).map((width) => `${width}px`).join(" ")}`;
    grid.replaceChildren(
      ...[["right", "forcedSays"], ["coin", "freeRight"], ["loss", "loss"]].map(([from, to]) =>
        area("rta-now", [ROWS[from], ROWS[to] + 1], [view.t + FIRST, view.t + FIRST + 1])),
      area("rta-loss-lines", [ROWS.loss, ROWS.loss + 1], [FIRST, -1]), ...divergence(), ...goOn(), ...headers(), ...forcedLane(), ...freeLane(), ...losses(),
      sentence("forcedText", reading.forced), sentence("freeText", free()),
      rowName("right", "right word"), rowName("forcedReads", "reads"), topName("forcedBars"), rowName("forcedSays", "says"),
      rowName("flag", ""), rowName("coin", "coin < p ?"), rowName("freeReads", "reads"), topName("freeBars"), rowName("freeSays", "says"),
      rowName("freeRight", "right word"), lossName(), wires,
    );
    paintWires();
  }

  /** Who supplies a step's input: a line from the right word, from the coin, or from what was said before. */
  function paintWires() {
    wires.replaceChildren();
    wires.setAttribute("width", grid.offsetWidth);         // not scrollWidth: the last sentence's lines would count
    wires.setAttribute("height", grid.offsetHeight);
    const find = (row, t) => grid.querySelector(`[data-row="${row}"][data-column="${t}"]`);
    const add = (tag, options) => wires.appendChild(draw(tag, options));
    const join = (from, to, kind) => {
      if (!from || !to) return;
      const start = [from.offsetLeft + from.offsetWidth, from.offsetTop + from.offsetHeight / 2];
      const end = [to.offsetLeft, to.offsetTop + to.offsetHeight / 2];
      const middle = (start[0] + end[0]) / 2;
      add("path", { class: `wire ${kind}`, d: `M${start}H${middle}V${end[1]}H${end[0] - 4}` });
      add("polygon", { class: `wire-tip ${kind}`, points: `${end[0]},${end[1]} ${end[0] - 6},${end[1] - 3.5} ${end[0] - 6},${end[1] + 3.5}` });
    };
    for (let t = 1; t <= view.shown; t += 1) {
      join(find("right", t - 1), find("forcedReads", t), "given");
      if (free().steps[t] && !free().steps[t].forced) join(find("freeSays", t - 1), find("freeReads", t), "own");
    }
  }

  // ------------------------------------------------------------ the step looked at
  function showExpected(box, name, step) {
    const title = make("div", { class: "rta-caption" }, make("b", { text: name }), step ? ": top 5" : " has ended",
      step ? make("div", { text: `after ${word(step.input, 12)}` }) : null);
    if (!step) { box.replaceChildren(title); return; }
    const rows = step.top.slice();
    if (step.right !== null && !rows.some(([id]) => id === step.right)) rows.push([step.right, Math.exp(-step.loss)]);
    box.replaceChildren(title, make("div", { class: "rta-bars" }, ...rows.flatMap(([id, probability]) => {
      const right = id === step.right;
      return [
        make(right ? "b" : "span", { text: word(id, 8) }),
        make("div", { class: right ? "rta-bar rta-marked" : "rta-bar", style: `width: ${Math.max(0.5, 100 * probability)}%`, data: { id, probability } }),
        make(right ? "b" : "span", { class: "rta-mono", text: probability < 0.005 ? "<0.01" : fixed(probability, 2) }),
      ];
    })));
  }

  function tell(name, step, t) {
    if (!step) return [make("b", { text: name }), " has ended"];
    const supplier = `${step.forced ? "given" : "its own"}${view.lane === 0 || view.lane === 10 ? "" : `, coin ${fixed(step.coin, 2)}`}`;
    return [make("b", { text: name }), " reads ", make("code", { text: word(step.input) }), t === 0 || name === "Forced" ? "" : ` (${supplier})`,
      `, says ${step.wrong ? "✗" : "✓"} `, make("code", { text: word(step.chosen) }), step.right === null ? ", past the end of the reference" : ", loss ",
      step.right === null ? null : make("span", { class: "rta-mono", text: fixed(step.loss) })].filter((part) => part !== null);
  }

  function say() {
    const { reading, t } = view;
    card.say(make("b", { text: `Step ${t + 1}` }), " · ", ...tell("Forced", reading.forced.steps[t], t), " · ", ...tell(laneName(), free().steps[t], t));
  }
  const laneName = () => (view.lane === 0 ? "Free-running" : `Ratio ${(view.lane / 10).toFixed(1)}`);

  // ------------------------------------------------------------ moving
  const show = guarded(card, () => {
    paintLanes();
    const { reading, t } = view;
    showExpected(expects.forced, "Forced", reading.forced.steps[t]);
    showExpected(expects.free, laneName(), free().steps[t]);
    say();
    card.root.dataset.position = t + 1;
  });

  /** A soft edge where steps are cut. */
  function showCuts() {
    const hidden = lanes.scrollWidth - lanes.clientWidth;
    cut.hidden = hidden - lanes.scrollLeft < 2;
    lanes.classList.toggle("rta-cut-left", lanes.scrollLeft > 1);
    lanes.classList.toggle("rta-is-cut", hidden > 1);
  }

  function moveTo(t, shown = Math.max(view.shown, t)) {
    view.t = within(t, 0, last());
    view.shown = within(shown, view.t, last());
    show();
    const [now, name] = [grid.querySelector(".rta-now"), grid.querySelector(".rta-row-name")];
    const left = now.offsetLeft - name.offsetWidth - 24;
    const right = now.offsetLeft + now.offsetWidth + 24 - lanes.clientWidth;
    lanes.scrollLeft = within(lanes.scrollLeft, right, Math.max(left, right));
    showCuts();
  }

  function chooseLane(lane) {
    const complete = view.shown >= last();
    view.lane = lane;
    moveTo(Math.min(view.t, last()), complete ? last() : view.shown);
  }

  /** A new sentence starts at its first step: the next ones are for the reader to predict. New coins leave the step. */
  function take(answer) {
    const same = view.reading && view.reading.source === answer.source && view.reading.polite === answer.polite;
    const complete = same && view.shown >= last();
    view.reading = readAnswer(answer, tokens);
    view.polite = answer.polite;
    view.coins = answer.coins;
    view.widths = widths();
    register.choose(answer.polite ? "polite" : "plain");
    pair.replaceChildren(make("span", { class: "rta-note", text: `${sentenceText(answer.source, 240)} → ` }), make("span", { class: "rta-written", lang: "ko", text: sentenceText(answer.right, 240) }));
    longer.hidden = !answer.longer;
    if (same) moveTo(Math.min(view.t, last()), complete ? last() : view.shown);
    else moveTo(0, 0);
  }

  roving(lanes, { size: () => [1, last() + 1], get: () => [0, view.t], move: (_, t) => { player.stop(); moveTo(t); } });
  grid.addEventListener("click", (event) => {
    const found = event.target.closest?.("[data-column]");
    if (!found) return;
    player.stop();
    moveTo(Number(found.dataset.column));
  });
  lanes.addEventListener("scroll", showCuts, { passive: true });
  const observer = new ResizeObserver(() => { if (view.reading) { paintWires(); showCuts(); } });
  observer.observe(grid);
  observer.observe(lanes);
  signal?.addEventListener("abort", () => observer.disconnect());
  card.root.numbers = () => {
    const { reading, t, shown, lane } = view;
    return { text: reading.source, polite: reading.polite, position: t + 1, shown: shown + 1, ratio: lane / 10, reference: reading.reference,
      first: free().first, forced: reading.forced.steps, free: free().steps };
  };
  guarded(card, () => take(model.get("answer")))();
  field.value = model.get("answer").source;
}

export default { render };
