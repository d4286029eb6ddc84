// GateExplorer: an LSTM, a GRU and a plain recurrent net read the same symbols; the reader forces their gates. The same
// maths as gate_run() in Python, in doubles, number by number.

const GRID = 2 ** 26;
const LETTERS = "abcdefgh";
const CUE = LETTERS.length;
const SYMBOLS = { least: 3, most: 61 };
const UNSURE = 0.2;                         // below this the largest of eight probabilities is no answer: 1/8 is a guess
const MOST_ROWS = 24;                       // of a map: more units than that would be too thin to tell apart
const NAMES = { f: "forget gate", i: "input gate", o: "output gate", z: "update gate", r: "reset gate" };
const HUES = { f: "forget", z: "forget", i: "input", o: "output", r: "reset" };      // z keeps, as f does
const KEEPS = { LSTM: "f", GRU: "z" };

// What is drawn for each kind of cell, from the top; the heights of one kind add up to those of another.
const LINES = ["unit", "left"];             // rows with lines; all others are maps of units against steps
const GAP = 8;
const ROWS = {
  LSTM: [["f", 40], ["i", 40], ["o", 40], ["cell", 62], ["hidden", 62], ["unit", 52], ["left", 52]],
  GRU: [["z", 56], ["r", 56], ["hidden", 116], ["unit", 76], ["left", 60]],
  RNN: [["hidden", 276], ["unit", 112]],
};
const TOP = 28;                             // the symbols
const BOTTOM = 18;                          // the numbers of the steps
const ROOM = 7.2;                           // pixels a letter needs

// A preset speaks of both gated cells: z is to the GRU what f (and 1 − i) is to the LSTM.
const PRESETS = [
  ["free", "As trained", {}, 1],
  ["frozen", "Frozen", { f: 1, i: 0, z: 1 }, 1],
  ["write-once", "Write once, keep", { f: 1, i: 0, z: 1 }, 2],
  ["leak", "Keep 0.9", { f: 0.9, z: 0.9 }, 1],
  ["forget", "Forget all", { f: 0, z: 0 }, 1],
  ["plain", "Like an RNN", { f: 0, i: 1, o: 1, z: 0, r: 1 }, 1],
];

// ---------------------------------------------------------------- one run

/** 26 binary digits, as in Python: a net can make the last digit of a state grow at every step. */
const rounded = (value) => Math.floor(value * GRID + 0.5) / GRID;
const tanh = (total) => rounded(Math.tanh(total));
const sigmoid = (total) => rounded(0.5 + 0.5 * Math.tanh(0.5 * total));

/** One unit of one step. x and h give W x + b and W h + b of a block; gate(name, total) obeys what is forced. */
const UNIT = {
  LSTM: (x, h, gate, before) => {
    const [i, f, o] = [gate("i", x(0) + h(0)), gate("f", x(1) + h(1)), gate("o", x(3) + h(3))];
    const candidate = tanh(x(2) + h(2));
    const cell = f * before.cell + i * candidate;
    return { f, i, o, candidate, cell, hidden: o * tanh(cell) };
  },
  GRU: (x, h, gate, before) => {
    const [r, z] = [gate("r", x(0) + h(0)), gate("z", x(1) + h(1))];
    const candidate = tanh(x(2) + r * h(2));
    return { z, r, candidate, hidden: (1 - z) * candidate + z * before.hidden };
  },
  RNN: (x, h) => ({ hidden: tanh(x(0) + h(0)) }),
};

/** Everything a net computes while it reads inputs (ids). Each part is a list with one array of all units per step. */
function gateRun(net, inputs, forced, start) {
  const { units, features, weights } = net;
  const run = {};
  let before = { hidden: new Float64Array(units), cell: new Float64Array(units) };
  inputs.forEach((token, index) => {
    const now = {};
    const gate = (name, total) => (index + 1 >= start && name in forced ? forced[name] : sigmoid(total));
    for (let unit = 0; unit < units; unit += 1) {
      const x = (block) => weights.weight_ih[(block * units + unit) * features + token] + weights.bias_ih[block * units + unit];
      const h = (block) => {
        const row = block * units + unit;
        let total = 0;
        for (let other = 0; other < units; other += 1) total += weights.weight_hh[row * units + other] * before.hidden[other];
        return total + weights.bias_hh[row];
      };
      const computed = UNIT[net.kind](x, h, gate, { cell: before.cell?.[unit], hidden: before.hidden[unit] });
      for (const [name, value] of Object.entries(computed)) (now[name] ??= new Float64Array(units))[unit] = value;
    }
    for (const [name, values] of Object.entries(now)) (run[name] ??= []).push(values);
    before = now;
  });
  if (KEEPS[net.kind]) run.survival = productsOf(run[KEEPS[net.kind]]);
  run.probabilities = answer(net, before.hidden);
  return run;
}

/** What is left of step 1 after each step: 1, then the products of the gate from step 2 on. */
function productsOf(gates) {
  const left = [gates[0].map(() => 1)];
  for (const gate of gates.slice(1)) left.push(left.at(-1).map((value, unit) => value * gate[unit]));
  return left;
}

function answer({ units, weights }, hidden) {
  const scores = Array.from(weights.head_bias, (bias, symbol) => {
    let score = 0;
    for (let unit = 0; unit < units; unit += 1) score += weights.head_weight[symbol * units + unit] * hidden[unit];
    return score + bias;
  });
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** A model as Python sent it: its weights as numbers. */
function readNet({ name, kind, ...packed }) {
  const weights = Object.fromEntries(Object.entries(packed).map(([part, values]) => [part, decode(values).data]));
  return { name, kind, weights, units: packed.weight_hh.shape[1], features: packed.weight_ih.shape[1] };
}

/** The ids of typed letters; spaces and commas are read over. Throws an Error that says what is wrong. */
function readSymbols(text) {
  const typed = Array.from(text.toLowerCase()).filter((character) => !/[\s,]/.test(character));
  const unknown = typed.find((character) => !LETTERS.includes(character));
  if (unknown !== undefined) throw new Error(`${legible(unknown)} is no symbol: type the letters a to h.`);
  if (typed.length < SYMBOLS.least) throw new Error(`Type at least ${SYMBOLS.least} letters: the first one, and a gap of two.`);
  if (typed.length > SYMBOLS.most) throw new Error(`${typed.length} letters are too many: the picture holds ${SYMBOLS.most}.`);
  return typed.map((character) => LETTERS.indexOf(character));
}

const letters = (ids) => ids.map((id) => LETTERS[id]).join("");
const anySymbol = () => Math.floor(Math.random() * CUE);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The largest change of any unit in one step, over the steps after `from`. */
function largestMove(states, from) {
  let most = 0;
  for (let step = Math.max(1, from); step < states.length; step += 1) {
    states[step].forEach((value, unit) => { most = Math.max(most, Math.abs(value - states[step - 1][unit])); });
  }
  return most;
}

/** A share as one reads it: 0.12, or 3×10⁻⁷ where two decimals would show 0. */
const share = (value) => (value === 0 ? "nothing" : value >= 0.005 ? fixed(value, 2) : scientific(value, 0));

// ---------------------------------------------------------------- the widget

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "gate-explorer", title: "Gates", note: "which symbol came first? The nets answer after the cue" });
  const nets = model.get("models").map(readNet);
  const view = { step: 1, unit: null, runs: {}, net: null, settings: null, pool: [], pictures: new Map() };
  const themeNow = followTheme(card.root, () => { view.pictures.clear(); stage.redraw(); }, signal);
  /** Saved at once: while a change waits to be saved, the kernel's echo of the change before would undo it. */
  const put = makeSaver(model);

  // ------------------------------------------------------------ controls
  const cells = makeSwitch("Cell", nets.map(({ name }) => [name, shortened(legible(name), 16)]), model.get("shown"), (name) => put("shown", name));
  card.controls.append(cells);
  const field = make("input", { type: "text", spellcheck: "false", autocomplete: "off", "aria-label": "Symbols, letters a to h", class: "rta-mono" });
  const gap = makeSlider({ label: "gap", min: SYMBOLS.least - 1, max: SYMBOLS.most - 1, step: 1, value: 20,
    changed: (length) => putSymbols(fromPool(length + 1)) });
  const button = (text, click) => make("button", { type: "button", class: "rta-button", text, on: { click } });
  const newFirst = button("New first", () => {
    const [first, ...rest] = model.get("symbols");
    putSymbols([(first + 1 + Math.floor(Math.random() * (CUE - 1))) % CUE, ...rest]);
  });
  const newRest = button("New rest", () => {
    view.pool = [];
    putSymbols([model.get("symbols")[0], ...model.get("symbols").slice(1).map(anySymbol)]);
  });
  field.addEventListener("input", () => {
    try {
      putSymbols(readSymbols(field.value));
    } catch (problem) {
      card.fail(`${problem.message} The picture shows the last good symbols.`);
    }
  });
  const presets = makeSwitch("Presets", PRESETS.map(([value, label]) => [value, label]), "free", (value) => {
    const [, , forced, start] = PRESETS.find(([name]) => name === value);
    put("start", start);
    put("forced", forced);
  });
  presets.classList.add("rta-wrapping");
  const start = makeSlider({ label: "forced from step", min: 1, max: 2, step: 1, value: 1, changed: (value) => put("start", value) });
  const symbolsRow = make("div", { class: "rta-gates-row" }, make("label", { class: "rta-field" }, "Symbols", field), gap, newFirst, newRest);
  const presetsRow = make("div", { class: "rta-gates-row" }, presets, start);

  // ------------------------------------------------------------ pictures
  const labels = make("div", { class: "rta-gates-labels" });
  const maps = make("div", { class: "rta-gates-maps" });
  const answers = make("div", { class: "rta-answers" });
  const facts = make("div", { class: "rta-gates-facts" });
  card.body.append(symbolsRow, presetsRow, make("div", { class: "rta-gates" }, labels, maps,
    make("div", { class: "rta-gates-side" }, make("div", {}, make("div", { class: "rta-caption", text: "answers; framed: the first symbol" }), answers), facts)));
  const stage = makeStage(maps, { height: 420, label: "Gates and states, units against steps", paint: guarded(card, paint), signal });

  /** Where each row of the picture lies, for the cell that is shown. */
  function rowsOf({ kind, units }) {
    let top = TOP;
    const every = Math.ceil(units / MOST_ROWS);
    return ROWS[kind].map(([name, height]) => {
      const row = { name, top, height, every, count: Math.ceil(units / every) };
      top += height + GAP;
      return row;
    });
  }
  const columnsOf = (width) => ({ pitch: width / view.settings.inputs.length, x: (step) => ((step - 1) * width) / view.settings.inputs.length });
  const isGate = (name) => name in NAMES;

  /** The colours of a map: a gate from the page to its own hue, a state from blue over nothing to orange. */
  function colourOf(name) {
    const theme = themeNow();
    if (!isGate(name)) return theme.signed;
    const style = getComputedStyle(card.root);
    theme.gates ??= {};
    theme.gates[name] ??= ramp(...["zero", HUES[name]].map((part) => rgb(style.getPropertyValue(`--rta-${part}`).trim())));
    return (value) => theme.gates[name][Math.round(within(value, 0, 1) * 255)];
  }

  const largestOf = (states) => states.reduce((most, row) => row.reduce((now, value) => Math.max(now, Math.abs(value)), most), 0);

  function picture(row, run) {
    if (!view.pictures.has(row.name)) {
      const scale = isGate(row.name) ? 1 : Math.max(1, largestOf(run[row.name]));
      view.pictures.set(row.name, cellPicture({ rows: row.count, columns: run[row.name].length,
        value: (place, column) => run[row.name][column][place * row.every] / scale, colour: colourOf(row.name) }));
    }
    return view.pictures.get(row.name);
  }

  function paint(width) {
    const rows = rowsOf(view.net);
    const floor = rows.at(-1).top + rows.at(-1).height;
    const context = stage.clear(width, floor + BOTTOM);
    const run = view.runs[view.net.name];
    paintSymbols(width);
    for (const row of rows) {
      if (row.name === "unit") paintUnit(row, run, width);
      else if (row.name === "left") paintLeft(row, run, width);
      else paintMap(context, row, run, width);
    }
    paintSteps(width, floor);
    const { x, pitch } = columnsOf(width);
    stage.add("rect", { class: "brand", x: x(view.step) - 1, y: 1, width: pitch + 2, height: floor - 1, rx: 3 });
  }

  /** Every letter where there is room for it, else the first, the cue and the one of the chosen step. */
  function paintSymbols(width) {
    const { inputs } = view.settings;
    const { x, pitch } = columnsOf(width);
    const box = Math.min(pitch, 20);
    stage.add("rect", { class: "mark", x: pitch / 2 - box / 2, y: 2, width: box, height: 21, rx: Math.min(4, box / 3) });
    inputs.forEach((token, index) => {
      const ends = index === 0 || index === inputs.length - 1;
      const chosen = index + 1 === view.step;
      const crowded = !chosen && (!ends || Math.abs(index + 1 - view.step) * pitch < 10);
      if (pitch < ROOM && crowded) return;
      stage.add("text", { class: `mono ${ends || chosen ? "strong" : "dim"}`, x: x(index + 1) + pitch / 2, y: 17, "text-anchor": "middle",
        style: `font-size: ${within(1.5 * pitch, 11, 14)}px`, text: token === CUE ? "?" : LETTERS[token] });
    });
  }

  function paintMap(context, row, run, width) {
    const cells = picture(row, run);
    const high = row.height / row.count;
    paintCells(context, cells, themeNow().mask, 0, row.top, width, row.height);
    stage.add("rect", { class: "line", x: 0, y: row.top, width, height: row.height });
    const { x, pitch } = columnsOf(width);
    const { forced, start: from, inputs } = view.settings;
    if (isGate(row.name) && row.name in forced && from <= inputs.length) {
      const left = x(from);
      const text = `forced to ${fixed(forced[row.name], 2)}`;
      if (width - left > 110) {
        stage.add("text", { class: "small", x: (left + width) / 2, y: row.top + row.height / 2 + 4, "text-anchor": "middle", text,
          style: `fill: ${textOn(colourOf(row.name)(forced[row.name]))}` });
      }
    }
    stage.add("rect", { class: "mark", x: x(view.step) + 0.5, y: row.top + (view.unit / row.every) * high, width: Math.max(2, pitch - 1), height: Math.max(2, high) });
  }

  /** A line over the steps; a value that has no place on the axis is null and leaves a gap. */
  function paintLine(values, kind, { x, pitch }, y) {
    const points = values.map((value, index) => (value === null ? null : `${x(index + 1) + pitch / 2},${y(value)}`));
    stage.add("path", { class: kind, d: points.map((place, index) => place && `${points[index - 1] ? "L" : "M"}${place}`).filter(Boolean).join("") });
  }

  const ofUnit = (rows) => rows.map((values) => values[view.unit]);

  /** The chosen unit's states, on an axis that fits them: a cell state has no bounds. */
  function paintUnit(row, run, width) {
    const columns = columnsOf(width);
    const states = ["cell", "hidden"].filter((name) => name in run);
    const seen = [0, ...states.flatMap((name) => ofUnit(run[name]))];
    const [low, high] = [Math.min(...seen), Math.max(...seen, Math.min(...seen) + 0.01)];
    const y = (value) => row.top + 5 + ((high - value) / (high - low)) * (row.height - 10);
    const digits = Math.max(-low, high) < 9.95 ? 2 : 1;
    view.range.textContent = `axis ${fixed(low, digits)} to ${fixed(high, digits)}`;
    stage.add("rect", { class: "zone", x: 0, y: row.top, width, height: row.height });
    stage.add("line", { class: "line", x1: 0, x2: width, y1: y(0), y2: y(0) });
    for (const name of states) {
      paintLine(ofUnit(run[name]), name, columns, y);
      stage.add("circle", { class: name, cx: columns.x(view.step) + columns.pitch / 2, cy: y(run[name][view.step - 1][view.unit]), r: 3.5 });
    }
  }

  /** What the gates have left of step 1, on a log axis: the chosen unit and the mean of all. Zero lies below its floor. */
  function paintLeft(row, run, width) {
    const columns = columnsOf(width);
    const powers = [ofUnit(run.survival), run.survival.map(mean)].map((values) => values.map(Math.log10));
    const low = Math.min(-2, 2 * Math.floor(Math.min(...powers.flat().filter(Number.isFinite)) / 2));
    const y = (power) => row.top + 4 + (power / low) * (row.height - 8);
    view.floor.textContent = `log axis ${powerOfTen(low)} to 1`;
    stage.add("rect", { class: "zone", x: 0, y: row.top, width, height: row.height });
    paintLine(powers[1].map((power) => (Number.isFinite(power) ? power : null)), "mean", columns, y);
    paintLine(powers[0].map((power) => (Number.isFinite(power) ? power : null)), "left", columns, y);
    const now = powers[0][view.step - 1];
    const place = { cx: columns.x(view.step) + columns.pitch / 2, r: 3.5 };
    if (Number.isFinite(now)) stage.add("circle", { class: "left", ...place, cy: y(now) });
    const zeros = powers[0].findIndex((power) => !Number.isFinite(power));
    if (zeros >= 0) stage.add("text", { class: "small", x: columns.x(zeros + 1) + 4, y: row.top + row.height / 2 + 4, text: "exactly 0 from here on" });
  }

  function paintSteps(width, floor) {
    const last = view.settings.inputs.length;
    const { x, pitch } = columnsOf(width);
    const every = last > 30 ? 10 : 5;
    for (let step = 1; step <= last; step += 1) {
      const wanted = step === 1 || step === last || step % every === 0;
      if (!wanted || (step !== last && (last - step) * pitch < 28) || (step !== 1 && (step - 1) * pitch < 22)) continue;
      stage.add("text", { class: "dim small", x: x(step) + pitch / 2, y: floor + 14, "text-anchor": "middle", text: String(step) });
    }
  }

  // ------------------------------------------------------------ beside the maps
  const legendLine = (kind) => draw("svg", { width: 22, height: 8 }, draw("path", { class: kind, d: "M0,4L22,4" }));
  const controls = {};                       // of the gates of the cell that is shown
  Object.assign(view, { unitName: make("b"), ...Object.fromEntries(["scale", "range", "floor"].map((name) => [name, make("span", { class: "rta-note" })])) });

  /** Name, checkbox and slider of a gate, as high as its map. */
  function gateControl(name, height) {
    const free = make("input", { type: "checkbox", "aria-label": `${NAMES[name]} ${name} is free`,
      on: { change: () => (free.checked ? release(name) : force(name, Number(range.value))) } });
    const range = make("input", { type: "range", min: 0, max: 1, step: 0.01, "aria-label": `${NAMES[name]} ${name}`,
      on: { input: () => force(name, Number(range.value)) } });
    const output = make("output", { class: "rta-mono" });
    controls[name] = { free, range, output };
    return make("div", { class: "rta-gate", style: `height: ${height}px; --hue: var(--rta-${HUES[name]})` },
      make("span", { class: "rta-gate-name" }, make("b", { class: "rta-mono", text: name }), ` ${NAMES[name].replace(" gate", "")}`),
      make("label", {}, free, " free"), range, output);
  }

  const force = (name, value) => put("forced", { ...model.get("forced"), [name]: value });
  const release = (name) => put("forced", Object.fromEntries(Object.entries(model.get("forced")).filter(([gate]) => gate !== name)));

  const FORMULAS = {
    LSTM: { cell: "f ⊙ c + i ⊙ g", hidden: "o ⊙ tanh(c)" }, GRU: { hidden: "(1 − z) ⊙ n + z ⊙ h" }, RNN: { hidden: "tanh(W x + W h + b)" },
  };
  const LETTER = { cell: "c", hidden: "h" };

  function stateLabel(name, height) {
    const lines = {
      cell: () => [named("c", " cell state"), view.scale], hidden: () => [named("h", " hidden state"), make("span", { class: "rta-note", text: spectrum(1) })],
      unit: () => [view.unitName, make("span", { class: "rta-legend" }, ...["cell", "hidden"].filter((state) => state in FORMULAS[view.net.kind])
        .map((state) => make("span", {}, legendLine(state), ` ${LETTER[state]}`))), view.range],
      left: () => [make("b", { text: "left of step 1" }), make("span", { class: "rta-legend" }, make("span", {}, legendLine("left"), " unit"), make("span", {}, legendLine("mean"), " mean")), view.floor],
    }[name]();
    const formula = FORMULAS[view.net.kind][name];
    if (formula) lines.splice(1, 0, make("span", { class: "rta-formula", text: formula }));
    return make("div", { class: "rta-state", style: `height: ${height}px` }, ...lines);
  }
  const named = (letter, text) => make("span", {}, make("b", { class: "rta-mono", text: letter }), text);
  const spectrum = (largest, digits = 0) => `blue ${fixed(-largest, digits)}, orange ${fixed(largest, digits)}`;

  function unitsDrawn() {
    const every = Math.ceil(view.net.units / MOST_ROWS);
    return every > 1 ? `1 in ${every} of ${view.net.units} units` : `${view.net.units} units`;
  }

  /** The column left of the maps is made anew only for another cell: a slider keeps its focus. */
  function showLabels() {
    for (const name of Object.keys(controls)) delete controls[name];
    labels.replaceChildren(make("div", { class: "rta-note rta-gates-reads", text: "reads" }),
      ...ROWS[view.net.kind].map(([name, height]) => (isGate(name) ? gateControl(name, height) : stateLabel(name, height))),
      make("div", { class: "rta-note rta-gates-axes", text: `rows: ${unitsDrawn()}, columns: steps` }));
  }

  function showControls() {
    const { forced } = view.settings;
    const run = view.runs[view.net.name];
    for (const [name, { free, range, output }] of Object.entries(controls)) {
      const value = name in forced ? forced[name] : mean(run[name].map((gate) => mean(gate)));
      free.checked = !(name in forced);
      range.value = value;
      range.setAttribute("aria-valuetext", name in forced ? fixed(value, 2) : `free, ${fixed(value, 2)} on average`);
      range.classList.toggle("rta-free", free.checked);
      output.textContent = name in forced ? fixed(value, 2) : `mean ${fixed(value, 2)}`;
    }
  }

  function showAnswers() {
    const first = view.settings.inputs[0];
    const heads = nets.map(({ name }) => make(name === view.net.name ? "b" : "span", { text: shortened(legible(name), 8) }));
    const rows = Array.from(LETTERS, (letter, symbol) => make("div", { class: symbol === first ? "rta-answer rta-asked" : "rta-answer" },
      make(symbol === first ? "b" : "span", { class: "rta-mono", text: letter }),
      ...nets.map(({ name }) => {
        const probability = view.runs[name].probabilities[symbol];
        return make("span", { class: "rta-answer-cell", data: { symbol, name, probability } },
          make("span", { class: symbol === first ? "rta-bar rta-marked" : "rta-bar", style: `--share: ${probability}` }),
          make("span", { class: "rta-mono", text: probability >= 0.005 ? fixed(probability, 2) : "" }));
      })));
    const verdicts = nets.map(({ name }) => {
      const { probabilities } = view.runs[name];
      const most = Math.max(...probabilities);
      if (most < UNSURE) return make("span", { class: "rta-note", data: { verdict: name }, text: "no idea" });
      const said = probabilities.indexOf(most);
      return make("span", { class: said === first ? "rta-verdict" : "rta-verdict rta-missed", data: { verdict: name } }, make("b", { class: "rta-mono", text: LETTERS[said] }), said === first ? " right" : " wrong");
    });
    answers.style.setProperty("--nets", nets.length);
    answers.replaceChildren(make("div", { class: "rta-answer" }, make("span"), ...heads), ...rows, make("div", { class: "rta-answer" }, make("span", { class: "rta-note" }), ...verdicts));
  }

  // ------------------------------------------------------------ what is said
  const number = (text) => make("span", { class: "rta-mono", text });

  const formula = (text) => make("span", { class: "rta-formula", text });

  /** How much of step 1 the gates have left, on the direct path, after the chosen step. */
  function leftOfStep1() {
    const { kind, name } = view.net;
    const left = view.runs[name].survival?.[view.step - 1];
    if (!left) return [make("b", { text: "No gate, nothing to force. " }), "The whole state passes through W and tanh at every step. The presets change the other nets only."];
    const passed = view.step - 1;
    return [`Product of ${KEEPS[kind]}: `, make("b", {}, number(share(left[view.unit]))), ` of what step 1 wrote is left in unit ${view.unit} after ${passed} ${passed === 1 ? "step" : "steps"}, `,
      number(share(mean(left))), " on average."];
  }

  /** Settings whose effect is often told wrongly: what is forced, from which step on, and what to say. */
  const EFFECTS = {
    LSTM: [
      [{ f: 1, i: 0 }, (from, run) => (from === 1
        ? [make("b", { text: "Nothing is ever written: " }), formula("c = 0"), ", so ", formula("h = o ⊙ tanh(0) = 0."), ...plainMoves(from)]
        : [make("b", { text: `c is frozen after step ${from - 1}. ` }), formula("h = o ⊙ tanh(c)"), " still moves with o, by up to ", number(moved(run, from)), " a step.", ...plainMoves(from)])],
      [{ f: 0, i: 1, o: 1 }, () => [make("b", { text: "Close to a plain RNN: " }), formula("h = tanh(g)"), " and ", formula("g = tanh(W x + W h + b)"), ", one tanh more than the RNN has."]],
      [{ f: 0 }, () => [make("b", { text: "c forgets at every step. " }), "Only h, through W and the gates, can carry the symbol on, as in a plain RNN."]],
    ],
    GRU: [
      [{ z: 1 }, (from) => (from === 1 ? [make("b", { text: "Nothing is ever written: " }), formula("h = 0."), ...plainMoves(from)]
        : [make("b", { text: `h is frozen after step ${from - 1}. ` }), "The GRU has no output gate: what it keeps is what it shows.", ...plainMoves(from)])],
      [{ z: 0, r: 1 }, () => [make("b", { text: "Exactly a plain RNN: " }), formula("h = n = tanh(W x + W h + b)"), ", with the GRU's own weights."]],
      [{ z: 0 }, () => [make("b", { text: "Nothing is kept directly. " }), "Only the candidate n, through W and r, can carry the symbol on."]],
    ],
    RNN: [],
  };

  const moved = (run, from) => scientific(largestMove(run.hidden, from), 1);

  /** For comparison: how far the state of the plain net moves in one step. */
  function plainMoves(from) {
    const plain = nets.find((net) => net.kind === "RNN");
    return plain ? [" A plain RNN's h moves on, by up to ", number(moved(view.runs[plain.name], from)), "."] : [];
  }

  function effect() {
    const { forced, start: from, inputs } = view.settings;
    const found = EFFECTS[view.net.kind].find(([gates]) => Object.entries(gates).every(([name, value]) => forced[name] === value));
    return found && from < inputs.length ? found[1](from, view.runs[view.net.name]) : null;
  }

  function say() {
    const { inputs } = view.settings;
    const { name, kind } = view.net;
    const run = view.runs[name];
    const [now, before] = [view.step - 1, view.step - 2];
    const at = (part, step) => (step < 0 ? 0 : run[part][step][view.unit]);
    const gates = Object.keys(controls).flatMap((gate) => [` ${gate} `, number(fixed(at(gate, now), 2))]);
    const states = (kind === "LSTM" ? ["cell", "hidden"] : ["hidden"]).flatMap((part) => [part === "cell" ? " · c " : " · h ",
      number(`${fixed(at(part, before), 3)} → ${fixed(at(part, now), 3)}`)]);
    card.say(make("b", { text: `t = ${view.step}` }), " reads ", make("b", { class: "rta-mono", text: inputs[now] === CUE ? "?" : LETTERS[inputs[now]] }),
      inputs[now] === CUE ? " (the cue)" : "", ` · unit ${view.unit}:`, ...gates, ...(gates.length ? states : [states[0].replace(" ·", ""), ...states.slice(1)]),
      make("span", { class: "rta-note", text: " · arrow keys: step and unit" }));
    view.unitName.textContent = `unit ${view.unit}`;
    if ("cell" in run) view.scale.textContent = spectrum(Math.max(1, largestOf(run.cell)), 1);
    const more = effect();
    facts.replaceChildren(make("p", {}, ...leftOfStep1()), ...(more ? [make("p", {}, ...more)] : []));
  }

  // ------------------------------------------------------------ changes
  /** The first symbols and more: a shorter gap and a longer one again give the same letters. */
  function fromPool(length) {
    while (view.pool.length < length) view.pool.push(anySymbol());
    return view.pool.slice(0, length);
  }
  function putSymbols(ids) {
    view.pool = [...ids, ...view.pool.slice(ids.length)];
    if (model.get("start") > ids.length + 1) put("start", ids.length + 1);
    put("symbols", ids);
  }

  const update = guarded(card, () => {
    const inputs = [...model.get("symbols"), CUE];
    view.settings = { inputs, forced: model.get("forced"), start: model.get("start") };
    const { forced, start: from } = view.settings;
    view.runs = Object.fromEntries(nets.map((net) => [net.name, gateRun(net, inputs, forced, from)]));
    view.pool = [...inputs.slice(0, -1), ...view.pool.slice(inputs.length - 1)];
    view.step = within(view.followsEnd ? inputs.length : view.step, 1, inputs.length);
    card.fail("");
    showCell();
    if (document.activeElement !== field) field.value = letters(inputs.slice(0, -1));
    gap.put(inputs.length - 2);
    start.input.max = Math.max(from, inputs.length);
    start.put(from);
    const fits = PRESETS.find(([, , values, begin]) => sameGates(values, forced) && (begin === from || Object.keys(values).length === 0));
    presets.choose(fits?.[0]);
    showAnswers();
  });

  const sameGates = (one, other) => Object.keys(one).length === Object.keys(other).length && Object.keys(one).every((name) => one[name] === other[name]);

  /** Draw the cell that is shown; its labels only where it is another one than before. */
  function showCell() {
    const net = nets.find(({ name }) => name === model.get("shown")) ?? nets[0];
    if (net !== view.net) {
      view.net = net;
      view.unit = within(view.unit ?? 0, 0, net.units - 1);
      cells.choose(net.name);
      showLabels();
    }
    view.pictures.clear();
    stage.redraw();
    showControls();
    say();
  }
  for (const name of ["symbols", "forced", "start", "shown"]) model.on(`change:${name}`, update);

  const moveTo = guarded(card, (step, unit = view.unit) => {
    view.step = within(step, 1, view.settings.inputs.length);
    view.unit = within(unit, 0, view.net.units - 1);
    view.followsEnd = view.step === view.settings.inputs.length;
    stage.redraw();
    say();
  });
  roving(stage.stage, { size: () => [view.net.units, view.settings.inputs.length], get: () => [view.unit, view.step - 1],
    move: (unit, column) => moveTo(column + 1, unit) });
  const point = (event) => {
    const box = stage.stage.getBoundingClientRect();
    const step = 1 + Math.floor((event.clientX - box.left) / columnsOf(box.width).pitch);
    const y = event.clientY - box.top;
    const row = rowsOf(view.net).find(({ name, top, height }) => !LINES.includes(name) && y >= top && y < top + height);
    moveTo(step, row ? row.every * Math.floor(((y - row.top) / row.height) * row.count) : view.unit);
  };
  stage.stage.addEventListener("pointerdown", (event) => { stage.stage.setPointerCapture(event.pointerId); point(event); });
  stage.stage.addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
  card.root.numbers = () => ({
    shown: view.net.name, step: view.step, unit: view.unit, ...view.settings,
    runs: Object.fromEntries(Object.entries(view.runs).map(([name, run]) => [name, Object.fromEntries(Object.entries(run)
      .map(([part, rows]) => [part, part === "probabilities" ? rows : rows.map((row) => Array.from(row))]))])),
  });
  view.followsEnd = true;
  update();
}

export default { render };
