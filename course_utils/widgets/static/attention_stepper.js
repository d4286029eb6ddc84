// AttentionStepper: one query through attention, number by number, then all queries as matrices. Computed here in
// doubles; the same maths as attention_steps() in Python.

const STEPS = ["Score", "Scale", "Mask", "Softmax", "Weighted sum"];
const ARROWS = 190;                                      // pixels: side of the drawing of vectors of two numbers
const LARGEST = 1e6;                                     // of an entered number, as in Python
const PAUSE = 4000;                                      // milliseconds: a step of the player is a sentence and a table
const CHANGE = ": click to change";
// Diagonal lines over a cell of any size that is used here; what does not fit is cut off.
const HATCH = Array.from({ length: 24 }, (_, line) => `M${6 * line - 40} 40l40 -40`).join("");
const CALM = { most: 12, least: -6 };                    // largest scores whose powers of e can be shown as they are
const NUMBERS = { q: "float64", k: "float64", v: "float64", scores: "float64", mask: "uint8" };
const SETTINGS = ["tokens", ...Object.keys(NUMBERS), "row", "scale"];

// ---------------------------------------------------------------- the numbers

/** {shape, data} as Python sent it -> a list of rows. */
function toRows(packed) {
  const { shape: [rows, columns], data } = decode(packed);
  return Array.from({ length: rows }, (_, row) => Array.from(data.slice(row * columns, (row + 1) * columns)));
}

/** A list of rows as Python takes it. */
function toPacked(rows, dtype) {
  const data = (dtype === "uint8" ? Uint8Array : Float64Array).from(rows.flat());
  return { shape: [rows.length, rows[0]?.length ?? 0], dtype, data: new DataView(data.buffer) };
}

const dot = (one, other) => one.reduce((total, value, index) => total + value * other[index], 0);
const total = (values) => values.reduce((sum, value) => sum + value, 0);

/** Every step of one query's attention. Scores so large that e^score overflows are lowered by the largest first. */
function followRow(score, allowed, values, root) {
  const scaled = score.map((value) => value / root);
  const masked = scaled.map((value, key) => (allowed[key] ? value : -Infinity));
  const largest = Math.max(...masked);
  const empty = largest === -Infinity;
  const powersBelow = (shift) => masked.map((value) => (value === -Infinity ? 0 : Math.exp(value - shift)));
  const stable = powersBelow(largest);
  const sum = total(stable);
  const weights = stable.map((power) => (empty ? 0 : power / sum));
  const shift = empty || (largest <= CALM.most && largest >= CALM.least) ? 0 : largest;
  const powers = powersBelow(shift);
  const parts = values.map((value, key) => value.map((number) => weights[key] * number));
  return { score, scaled, masked, weights, shift, powers, sum: total(powers), parts, empty,
    output: values[0].map((_, place) => total(parts.map((part) => part[place]))) };
}

/** followRow for every query there is. */
function follow({ q, k, v, scores, mask, scale }) {
  const given = scores.length > 0;
  const root = given || !scale ? 1 : Math.sqrt(k[0].length);
  const all = given ? scores : q.map((query) => k.map((key) => dot(query, key)));
  return all.map((score, row) => followRow(score, mask[row].map(Boolean), v, root));
}

/** Decimals that show all of the numbers exactly, within limits. */
function digitsFor(values, least, most) {
  const exact = (digits) => values.every((value) => !Number.isFinite(value) || Math.abs(value - Number(value.toFixed(digits))) < 1e-9);
  let digits = least;
  while (digits < most && !exact(digits)) digits += 1;
  return digits;
}

/** A number as a cell shows it. */
function show(value, digits) {
  if (value === -Infinity) return "−∞";
  if (Math.abs(value) >= 10000) return scientific(value, 1).replace("-", "−");
  const text = fixed(value, digits);
  return /^−0\.?0*$/.test(text) ? text.slice(1) : text;
}

/** What the reader typed, as a number. Throws an Error that says what is wrong. */
function readNumber(input) {
  const text = input.value.trim();
  const value = Number(text);
  if (input.validity.badInput || Number.isNaN(value)) throw new Error("That is no number this picture can use.");
  if (text === "") throw new Error("The cell was empty.");
  if (!(Math.abs(value) <= LARGEST)) throw new Error("The number is too large: from −1 000 000 to 1 000 000.");
  return value;
}

// ---------------------------------------------------------------- small pieces of the page

/** Coloured text: query, key, value or weight. */
const tinted = (kind, ...content) => make("span", { class: `rta-as-${kind}-ink` }, ...content);
const power = (text) => [make("span", {}, "e", make("sup", { text }))];

/** Grey lines behind the text of a cell that the mask has closed. */
const hatched = () => draw("svg", { class: "rta-as-hatch", "aria-hidden": "true" }, draw("path", { d: HATCH }));

/** Nodes with a separator between them. */
const joinedBy = (separator, groups) => groups.flatMap((group, index) => (index ? [separator, ...group] : group));

/**
 * Make `node` show what `wanted` shows and touch nothing else: a click that began on a cell must find it when it ends,
 * though leaving an open editor has redrawn the table in between.
 */
function patch(node, wanted) {
  for (const { name } of [...node.attributes]) if (!wanted.hasAttribute(name)) node.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  patchChildren(node, [...wanted.childNodes]);
}

function patchChildren(node, wanted) {
  const old = [...node.childNodes];
  wanted.forEach((next, index) => {
    const before = old[index];
    if (!before) node.append(next);
    else if (before.nodeName !== next.nodeName) before.replaceWith(next);
    else if (before.nodeType === Node.TEXT_NODE) { if (before.data !== next.data) before.data = next.data; } else patch(before, next);
  });
  for (const spare of old.slice(wanted.length)) spare.remove();
}

// ---------------------------------------------------------------- the widget

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "attention-stepper", title: "Attention, step by step" });
  const examples = model.get("examples");
  // cursor: [line, column] of the table or the matrices that the arrow keys stand on; null: on the step's own result.
  const view = { data: null, rows: [], step: 1, matrix: false, key: 0, component: 0, cursor: null, editing: null };
  const given = () => view.data.scores.length > 0;
  const queryRow = () => (view.rows.length > 1 ? view.data.row : 0);
  const now = () => view.rows[queryRow()];
  const many = () => view.data.tokens.length;
  const root = () => (given() || !view.data.scale ? 1 : Math.sqrt(view.data.k[0].length));
  const word = (index, most = 12) => shortened(legible(view.data.tokens[index]), most) || "(empty)";
  const theQuery = () => tinted("query", make("b", { text: word(view.data.row) }));
  const theKey = () => tinted("key", make("b", { text: word(view.key) }));

  // ------------------------------------------------------------ settings
  const put = makeSaver(model);
  /** Several settings at once, so that Python never sees a half of them. */
  function save(changes) {
    for (const [name, value] of Object.entries(changes)) model.set(name, name in NUMBERS ? toPacked(value, NUMBERS[name]) : value);
    model.save_changes();
    take();
  }

  function read(source) {
    return Object.fromEntries(SETTINGS.map((name) => [name, name in NUMBERS ? toRows(source(name)) : source(name)]));
  }

  /** One number or mask cell. The arrays are copied: what was sent must not change. */
  function change(part, row, column, value) {
    const rows = view.data[part].map((numbers) => [...numbers]);
    rows[row][column] = value;
    save({ [part]: rows });
  }

  const chosen = () => examples.find(({ name }) => name === model.get("preset")) ?? examples[0];
  function restore(example) {
    view.cursor = null;
    card.fail("");
    save({ ...read((name) => example[name]), preset: example.name });
  }

  // ------------------------------------------------------------ controls
  const views = makeSwitch("View", [["one", "One query"], ["matrix", "All queries"]], "one", (value) => { view.cursor = null; put("view", value); take(); });
  const picker = make("select", { "aria-label": "Example", on: { change: () => { player.stop(); restore(examples[Number(picker.value)]); } } },
    ...examples.map(({ label }, index) => make("option", { value: index, text: label })));
  const queries = make("select", { "aria-label": "Query", on: { change: () => { player.stop(); save({ row: Number(queries.value) }); } } });
  const queryField = make("label", { class: "rta-field" }, tinted("query", "query"), queries);
  const scaling = make("input", { type: "checkbox", on: { change: () => save({ scale: scaling.checked }) } });
  const scaleField = make("label", { class: "rta-field" }, scaling, make("span", {}, "divide by √", make("i", { text: "d" }), make("sub", { text: "k" })));
  const reset = make("button", { type: "button", class: "rta-button", text: "Reset", on: { click: () => { player.stop(); restore(chosen()); } } });
  card.controls.append(picker, reset, views);
  const goTo = (step) => { view.cursor = null; put("step", step); take(); };
  const player = makePlayer({ first: 1, last: () => STEPS.length, get: () => view.step, move: goTo, signal, pause: PAUSE });
  const tabs = STEPS.map((name, index) => make("button", { type: "button", on: { click: () => { player.stop(); goTo(index + 1); } } },
    make("span", { class: "rta-as-step-name", text: `${index + 1} ${name}` }), make("span", { class: "rta-as-step-value" })));
  const stepList = make("div", { class: "rta-as-steps", role: "group", "aria-label": "The five steps" }, ...tabs);

  // ------------------------------------------------------------ layout
  const sentence = make("p", { class: "rta-as-step-told" });
  const sheet = make("div", { class: "rta-as-sheet", "aria-label": "The numbers of the step" });
  const formula = make("div", { class: "rta-as-step-formula" });
  const drawing = draw("svg", { role: "img", width: ARROWS, height: ARROWS });
  const arrowNote = make("div", { class: "rta-note" });
  const arrows = make("div", { class: "rta-as-arrows" }, drawing, arrowNote);
  card.body.append(make("div", { class: "rta-as-steps-row" }, stepList, player),
    make("div", { class: "rta-as-step-head" }, sentence, make("div", { class: "rta-as-step-settings" }, queryField, scaleField)),
    make("div", { class: "rta-as-step-body" }, sheet, arrows), formula);

  // ------------------------------------------------------------ words
  const rootText = () => (given() ? "" : show(root(), 3));
  const dk = () => make("span", {}, "√", make("i", { text: "d" }), make("sub", { text: "k" }));
  const rootOf = () => [dk(), ` = √${view.data.k[0].length} = ${rootText()}`];

  /** What happens in this step and why. */
  function told() {
    const { empty, shift } = now();
    const lines = [
      () => (given()
        ? ["How well does each key fit the query ", theQuery(), "? Here the scores are given. They are ", make("b", { text: "already divided" }), " by ", dk(), "."]
        : ["The query ", theQuery(), " is compared with every key: multiply number by number, then add. A larger score means a better fit."]),
      () => {
        if (given()) return ["Nothing to do: the given scores are already divided by ", dk(), ". From vectors, this step would come now."];
        if (!view.data.scale) return ["The division is off. A score is a sum of ", make("i", { text: "d" }), make("sub", { text: "k" }), " products: with long vectors it would grow, and one key would take all the weight."];
        return ["Divide every score by ", ...rootOf(), ". Longer vectors give larger scores; the division keeps them small, so that no key takes all the weight at once."];
      },
      () => (empty ? ["The mask forbids every key of ", theQuery(), ": all scores become −∞."]
        : ["A key that ", theQuery(), " may not see gets the score −∞, so that its weight will be 0. Click a cell to forbid or allow a key."]),
      () => {
        if (empty) return ["No key is allowed, so there is nothing to share. ", make("b", { text: "All weights are 0" }), ": defined so, because 0 / 0 is no number."];
        if (shift) return ["Softmax turns scores into shares that add up to 1. The largest score is subtracted first: the shares stay the same, and no power of e is too large."];
        return ["Softmax turns scores into shares: e to the power of each score is positive, and divided by their sum the ", make("b", { text: "weights add up to 1" }), "."];
      },
      () => (empty ? ["All weights are 0, so the output of ", theQuery(), " is a vector of zeros."]
        : ["Multiply each ", tinted("value", "value"), " by its weight and add them up. The sum is the new vector of ", theQuery(), "."]),
    ];
    return lines[view.step - 1]();
  }

  /** The same step for all queries at once. */
  function toldForAll() {
    const rows = make("b", { text: "each row" });
    return [
      () => ["One matrix product gives every score: row = ", tinted("query", "query"), ", column = ", tinted("key", "key"), ". Each cell is one dot product."],
      () => (view.data.scale ? ["Every score is divided by the same number, ", ...rootOf(), "."] : ["The division is off: the scores stay as they are."]),
      () => ["The mask has one cell for each pair. Where the query may not see the key, the score becomes −∞. Click a cell to forbid or allow."],
      () => ["Softmax works on ", rows, " alone: the weights of one query add up to 1. A row without any allowed key gets zeros."],
      () => ["One more matrix product: ", rows, " of weights mixes the rows of ", tinted("value", "V"), " into the new vector of its query."],
    ][view.step - 1]();
  }

  /** Decimals of each kind of number, the same in table and formulae. */
  function decimals() {
    const { q, k, v } = view.data;
    const most = many() > 8 ? 2 : 3;                     // so that ten words have room
    const scores = view.rows.flatMap(({ score }) => score);
    const scaled = view.rows.flatMap((row) => row.scaled);
    return { q: digitsFor(q.flat(), 1, 3), k: digitsFor(k.flat(), 1, 3), v: digitsFor(v.flat(), 1, 3),
      score: digitsFor(scores, 2, most), scaled: digitsFor(scaled, 2, most), power: most };
  }

  const vector = (numbers, digits) => `[${numbers.map((value) => show(value, digits)).join(", ")}]`;
  const index = () => make("sub", { text: String(view.key + 1) });
  const symbol = (letter) => make("span", {}, make("i", { text: letter }), index());

  /** The formula of the step with the numbers of the chosen key. A list of lines, each a list of nodes. */
  function formulaLines() {
    const { key, data, digits } = view;
    const row = now();
    const score = show(row.score[key], digits.score);
    const scaled = show(row.scaled[key], digits.scaled);
    const lines = [
      () => {
        const left = [tinted("query", make("i", { text: "q" })), "·", tinted("key", symbol("k"))];
        if (given()) return [[...left, " / ", dk(), " = ", make("b", { text: score }), "  (given)"]];
        const products = data.q[queryRow()].map((value, place) => [tinted("query", show(value, digits.q)), "·", tinted("key", bracketed(data.k[key][place], digits.k))]);
        return [[...left, " = ", ...joinedBy(" + ", products), " = ", make("b", { text: score })]];
      },
      () => {
        if (given()) return [[symbol("s"), " = ", make("b", { text: scaled }), "  (given, already divided)"]];
        return [data.scale ? [symbol("s"), " = ", score, " / ", dk(), " = ", score, " / ", rootText(), " = ", make("b", { text: scaled })]
          : [symbol("s"), " = ", make("b", { text: scaled }), "  (not divided)"]];
      },
      () => [row.masked[key] === -Infinity
        ? [symbol("s"), " = ", scaled, " → ", make("b", { text: "−∞" }), ", and ", ...power("−∞"), " = 0"]
        : [symbol("s"), " = ", make("b", { text: scaled }), ": ", theQuery(), " may attend to ", theKey()]],
      () => [softmaxLine(row)],
      () => sumLines(row),
    ];
    return lines[view.step - 1]();
  }

  /** A negative factor stands in brackets. */
  const bracketed = (value, digits) => (show(value, digits).startsWith("−") ? `(${show(value, digits)})` : show(value, digits));

  function softmaxLine(row) {
    const { key, digits } = view;
    const exponent = (place) => (row.masked[place] === -Infinity ? "−∞" : show(row.masked[place] - row.shift, digits.scaled));
    const weight = make("b", { text: show(row.weights[key], 3) });
    if (row.empty) return [symbol("w"), " = 0 / 0 would be no number: ", symbol("w"), " = ", make("b", { text: "0" })];
    const terms = row.masked.map((_, place) => (place === key ? [tinted("key", ...power(exponent(place)))] : power(exponent(place))));
    return [symbol("w"), " = ", tinted("key", ...power(exponent(key))), " / (", ...joinedBy(" + ", terms), ") = ",
      show(row.powers[key], digits.power), " / ", show(row.sum, digits.power), " = ", weight];
  }

  function sumLines(row) {
    const { key, data, digits, component } = view;
    const terms = data.v.map((value, place) => [show(row.weights[place], 3), "·", tinted("value", bracketed(value[component], digits.v))]);
    return [
      [symbol("w"), "·", tinted("value", symbol("v")), " = ", show(row.weights[key], 3), " · ", tinted("value", vector(data.v[key], digits.v)), " = ", make("b", { text: vector(row.parts[key], 3) })],
      ["output, number ", String(component + 1), " = ", ...joinedBy(" + ", terms), " = ", tinted("value", make("b", { text: show(row.output[component], 3) }))],
    ];
  }

  // ------------------------------------------------------------ cells
  /** A cell of the table or of a matrix. at: what a click or Enter does there; null for nothing but choosing. */
  function cell(text, { kind = "", at = null, line, column, label = "", place = "" }) {
    const data = { line, column, ...(at ? { part: at.part, row: at.row, number: at.number } : {}) };
    if (at?.part === "mask") return maskCell(text, { kind, data, place, label });
    return make("div", { class: `rta-as-cell ${at ? "rta-as-given-number" : ""} ${kind}`.replace(/\s+/g, " ").trim(), data, style: place, title: at ? `${label}${CHANGE}` : label }, make("span", { text }));
  }

  function maskCell(text, { kind, data, place, label }) {
    const allowed = view.data.mask[data.row][data.number] === 1;
    return make("div", { class: `rta-as-cell ${kind}`.trim(), style: place, data },
      make("button", { type: "button", tabindex: "-1", class: `rta-as-may ${allowed ? "" : "rta-as-forbidden"}`.trim(), "aria-pressed": String(allowed), "aria-label": label, title: label },
      allowed ? null : hatched(), make("span", { text })));
  }

  // ------------------------------------------------------------ one query: the table
  /** The lines of the table: name, numbers for every key, what stands left and right of them. step: filled from then on. */
  function tableLines() {
    const { data, digits } = view;
    const row = now();
    const query = queryRow();
    const allowedOr0 = (key, value, decimals = 3) => (data.mask[query][key] ? show(value, decimals) : "0");      // exactly nothing, not 0.000
    const lines = [];
    if (!given()) {
      data.k[0].forEach((_, place) => lines.push({ first: place === 0, ink: "key", name: place === 0 ? [tinted("key", "keys"), " k"] : [], result: 0, step: 1,
        left: { text: show(data.q[query][place], digits.q), at: { part: "q", row: query, number: place }, kind: "rta-as-query-ink" },
        text: (key) => show(data.k[key][place], digits.k), at: (key) => ({ part: "k", row: key, number: place }), kind: "rta-as-key-ink" }));
    }
    lines.push({ first: true, result: 1, step: 1, name: given() ? ["score (given)"] : ["score ", tinted("query", make("i", { text: "q" })), "·", tinted("key", make("i", { text: "k" }))],
      text: (key) => show(row.score[key], digits.score), at: given() ? (key) => ({ part: "scores", row: 0, number: key }) : null, also: given() ? 2 : 0 });
    if (!given()) {
      lines.push({ result: 2, step: 2, name: data.scale ? ["divided by ", dk()] : ["not divided"], text: (key) => show(row.scaled[key], digits.scaled) });
    }
    lines.push({ result: 3, step: 3, name: [view.step < 3 ? "mask" : "after the mask"], text: (key) => (view.step < 3 ? (data.mask[query][key] ? "✓" : "✗") : `${data.mask[query][key] ? "✓" : "✗"} ${show(row.masked[key], digits.scaled)}`),
      at: (key) => ({ part: "mask", row: query, number: key }), always: true });
    lines.push({ first: true, result: 4, step: 4, name: row.shift ? ["e", make("sup", { text: "s − largest" })] : power("score"), text: (key) => allowedOr0(key, row.powers[key], digits.power), right: () => show(row.sum, digits.power) });
    lines.push({ result: 4, step: 4, bars: true, name: [make("b", { text: "weight" })], text: (key) => allowedOr0(key, row.weights[key]), right: () => show(total(row.weights), 3), kind: "rta-as-strong" });
    data.v[0].forEach((_, place) => lines.push({ first: place === 0, result: 0, step: 5, always: true, name: place === 0 ? [tinted("value", "values"), " v"] : [],
      component: place, text: (key) => show(data.v[key][place], digits.v), at: (key) => ({ part: "v", row: key, number: place }), kind: "rta-as-value-ink" }));
    data.v[0].forEach((_, place) => lines.push({ first: place === 0, result: 5, step: 5, component: place, name: place === 0 ? ["weight × value"] : [],
      text: (key) => show(row.parts[key][place], 3), right: () => show(row.output[place], 3), rightKind: "rta-as-value-ink rta-as-strong" }));
    return lines;
  }

  const isResult = (line) => line.result === view.step || line.also === view.step;

  function paintTable() {
    const lines = tableLines();
    view.lines = lines;
    const columns = many();
    const left = given() ? 0 : 1;                        // the query's own column
    const nodes = [];
    const at = (line, column) => `grid-row: ${line + 2}; grid-column: ${column}`;
    const keyColumn = (key) => 2 + left + key;
    nodes.push(make("div", { class: "rta-as-line-name rta-as-token", style: "grid-row: 1; grid-column: 1" }, make("span", {}, tinted("query", "query"), " ", theQuery())));
    if (left) nodes.push(make("div", { class: "rta-as-cell rta-as-token rta-as-query-ink", style: "grid-row: 1; grid-column: 2", title: "the query" }, make("i", { text: "q" })));
    for (let key = 0; key < columns; key += 1) {
      nodes.push(make("div", { class: `rta-as-cell rta-as-token ${key === view.key ? "rta-as-key-ink rta-as-strong" : ""}`.trim(), style: `grid-row: 1; grid-column: ${keyColumn(key)}`, title: shortened(legible(view.data.tokens[key]), 200), data: { column: key } },
        make("span", { text: word(key) }), make("small", { text: String(key + 1) })));
    }
    nodes.push(make("div", { class: "rta-as-cell rta-as-token rta-as-sum", style: `grid-row: 1; grid-column: ${keyColumn(columns)}` }, make("span", { text: view.step >= 4 ? "sum" : "" })));
    lines.forEach((line, number) => {
      const reached = line.always || view.step >= line.step;
      const tint = `${isResult(line) ? "rta-as-result" : ""} ${line.first ? "rta-as-block" : ""} ${line.bars ? "rta-as-tall" : ""}`;
      const place = (column) => at(number, column);
      nodes.push(make("div", { class: `rta-as-line-name ${tint} ${reached ? "" : "rta-note"}`.replace(/\s+/g, " ").trim(), style: place(1) }, make("span", {}, ...line.name)));
      if (left) nodes.push(line.left ? cell(line.left.text, { kind: `${tint} ${line.left.kind}`, at: line.left.at, line: number, column: -1, place: place(2), label: nameOf(line.left.at) }) : make("div", { class: `rta-as-cell ${tint}`.trim(), style: place(2) }));
      for (let key = 0; key < columns; key += 1) {
        const where = { line: number, column: key, place: place(keyColumn(key)), at: line.at ? line.at(key) : null, label: line.at ? nameOf(line.at(key)) : "" };
        const made = cell(reached ? line.text(key) : "", { kind: `${tint} ${line.kind ?? ""}`, ...where });
        if (line.bars && reached) made.prepend(make("div", { class: "rta-as-weight-room" }, make("div", { class: "rta-as-weight-bar", style: `height: ${barHeight(key)}%` })));
        nodes.push(made);
      }
      const sum = reached && line.right ? line.right() : "";
      nodes.push(make("div", { class: `rta-as-cell rta-as-sum ${tint} ${line.rightKind ?? ""}`.replace(/\s+/g, " ").trim(), style: place(keyColumn(columns)) }, make("span", { text: sum })));
    });
    nodes.push(make("div", { class: "rta-as-key-frame", style: `grid-row: 1 / ${lines.length + 2}; grid-column: ${keyColumn(view.key)}` }));
    const wanted = make("div", { class: "rta-as-table", style: `grid-template-columns: 128px ${left ? "64px" : ""} repeat(${columns}, minmax(max-content, ${columns > 8 ? 62 : 82}px)) minmax(max-content, 76px)` }, ...nodes);
    patchChildren(sheet, [wanted]);
  }

  /** In percent of the room, which is a weight of one half, or the largest if that is more. */
  const barHeight = (key) => ((100 * now().weights[key]) / Math.max(0.5, ...now().weights)).toFixed(1);

  /** What a number that can be changed is. */
  function nameOf({ part, row, number }) {
    const query = view.rows.length > 1 ? row : view.data.row;
    if (part === "mask") return `mask: may ${word(query)} attend to ${word(number)}?`;
    if (part === "scores") return `score of ${word(number)}`;
    return `${{ q: "query", k: "key", v: "value" }[part]} of ${word(part === "q" ? query : row)}, number ${number + 1}`;
  }

  // ------------------------------------------------------------ all queries: the matrices
  /** The matrices of the step, left to right, and the signs between them. rows, columns: what they stand for. */
  function blocks() {
    const { data, digits, rows } = view;
    const all = (name) => rows.map((row) => row[name]);
    const block = (name, ink, numbers, options) => ({ name, ink, numbers, ...options });
    const pairs = { rows: "query", columns: "key" };
    const keysTurned = data.k[0].map((_, place) => data.k.map((key) => key[place]));
    const K = () => [make("i", { text: "K" }), make("sup", { text: "T" })];
    const Q = block([make("i", { text: "Q" })], "query", data.q, { rows: "query", columns: "", digits: digits.q, at: (row, column) => ({ part: "q", row, number: column }) });
    const KT = block(K(), "key", keysTurned, { rows: "", columns: "key", digits: digits.k, at: (row, column) => ({ part: "k", row: column, number: row }) });
    const S = block([make("i", { text: "Q" }), " ", ...K()], "", all("score"), { ...pairs, digits: digits.score });
    const D = block([make("i", { text: "Q" }), " ", ...K(), " / ", dk()], "", all("scaled"), { ...pairs, digits: digits.scaled });
    const M = block(["after the mask"], "", all("masked"), { ...pairs, digits: digits.scaled });
    const toggles = { ...M, at: (row, column) => ({ part: "mask", row, number: column }) };
    const W = block([make("i", { text: "W" }), ": weights"], "", all("weights"), { ...pairs, digits: 3, ramp: true });
    const V = block([make("i", { text: "V" })], "value", data.v, { rows: "key", columns: "", digits: digits.v, at: (row, column) => ({ part: "v", row, number: column }) });
    const O = block(["output ", make("i", { text: "W V" })], "value", all("output"), { rows: "query", columns: "", digits: 3 });
    return [
      [Q, ["×"], KT, ["="], S],
      [S, ["/ ", rootText() || "1", " ="], data.scale ? D : { ...D, name: ["not divided"] }],
      [data.scale ? D : S, ["mask →"], toggles],
      [M, ["softmax →"], { ...W, sums: true }],
      [W, ["×"], V, ["="], O],
    ][view.step - 1];
  }

  function paintMatrices() {
    if (given() || view.rows.length < many()) {
      view.blocks = [];
      patchChildren(sheet, [make("div", { class: "rta-as-matrices-missing" },
        make("p", { text: "The matrices need a query for every word, and these numbers hold only one." }),
        make("button", { type: "button", class: "rta-button rta-primary", text: "Show the four words", data: { show: "vectors" } }))]);
      return;
    }
    const list = blocks();
    view.blocks = list.filter((part) => part.numbers);
    let start = 0;
    const nodes = list.map((part) => {
      if (!part.numbers) return make("div", { class: "rta-as-sign" }, ...part.map((text) => make("span", { text })));
      const node = matrix(part, start);
      start += part.numbers[0].length;
      return node;
    });
    patchChildren(sheet, [make("div", { class: `rta-as-matrices ${crowded(view.blocks) ? "rta-as-crowded" : ""}`.trim() }, ...nodes)]);
  }

  /** More columns than the card has room for with three decimals. */
  const crowded = (list) => list.reduce((sum, { numbers }) => sum + numbers[0].length, 0) > 14;

  function matrix(part, start) {
    const [rows, columns] = [part.numbers.length, part.numbers[0].length];
    const nodes = [];
    const labelled = part.rows !== "";
    const digits = crowded(view.blocks) ? Math.min(2, part.digits) : part.digits;
    const offset = labelled ? 2 : 1;
    const label = (kind, item, place, above = "") => make("div", { class: `rta-as-label ${above} ${isChosen(kind, item) ? `rta-as-${kind}-ink rta-as-strong` : ""}`.trim(), style: place, title: shortened(legible(view.data.tokens[item]), 200), text: word(item, 7) });
    if (part.columns) for (let column = 0; column < columns; column += 1) nodes.push(label(part.columns, column, `grid-row: 1; grid-column: ${column + offset}`, "rta-as-above"));
    else nodes.push(make("div", { class: "rta-as-label", style: `grid-row: 1; grid-column: ${offset}` }));
    part.numbers.forEach((numbers, row) => {
      if (labelled) nodes.push(label(part.rows, row, `grid-row: ${row + 2}; grid-column: 1`));
      numbers.forEach((value, column) => {
        const at = part.at?.(row, column) ?? null;
        const hidden = value === -Infinity || (part.ramp && !view.data.mask[row][column]);
        const node = cell(part.ramp && hidden ? "0" : show(value, digits), { at, line: row, column: start + column, place: `grid-row: ${row + 2}; grid-column: ${column + offset}`,
          kind: `${part.ink ? `rta-as-${part.ink}-ink` : ""} ${hidden && at?.part !== "mask" ? "rta-as-hidden-cell" : ""}`, label: at ? nameOf(at) : "" });
        if (hidden && at?.part !== "mask") node.prepend(hatched());
        if (part.ramp && !hidden) {
          const colour = themeNow().weight(value);
          node.setAttribute("style", `${node.getAttribute("style")}; background: ${css(colour)}; color: ${textOn(colour)}`);
        }
        nodes.push(node);
      });
      if (part.sums) nodes.push(make("div", { class: "rta-as-cell rta-as-sum", style: `grid-row: ${row + 2}; grid-column: ${columns + offset}`, text: show(total(numbers), 3) }));
    });
    if (part.sums) nodes.push(make("div", { class: "rta-as-label", style: `grid-row: 1; grid-column: ${columns + offset}`, text: "sum" }));
    const frames = [["query", "rows"], ["key", "rows"], ["key", "columns"]].filter(([kind, side]) => part[side] === kind);
    for (const [kind, side] of frames) {
      const item = kind === "query" ? view.data.row : view.key;
      const place = side === "rows" ? `grid-row: ${item + 2}; grid-column: ${offset} / ${columns + offset}` : `grid-row: 2 / ${rows + 2}; grid-column: ${item + offset}`;
      nodes.push(make("div", { class: `rta-as-${kind}-frame`, style: place }));
    }
    const title = make("div", { class: "rta-as-matrix-name" }, make("span", { class: part.ink ? `rta-as-${part.ink}-ink` : "" }, ...part.name), make("small", { text: `${rows} × ${columns}` }));
    const tracks = `${labelled ? "max-content" : ""} repeat(${columns}, minmax(max-content, ${crowded(view.blocks) ? 40 : 60}px)) ${part.sums ? "52px" : ""}`;
    return make("div", { class: "rta-as-matrix" }, title, make("div", { class: "rta-as-matrix-cells", style: `grid-template-columns: ${tracks}` }, ...nodes));
  }

  const isChosen = (kind, item) => item === (kind === "query" ? view.data.row : view.key);

  // ------------------------------------------------------------ vectors of two numbers as arrows
  /** Before the sum: the query and the keys. Then: each value pale, its share dark, and the sum. */
  function paintArrows() {
    const { data, key } = view;
    const flat = (vectors) => vectors.length > 0 && vectors[0].length === 2;
    const summing = view.step === STEPS.length;
    const shown = !view.matrix && many() <= 6 && flat(summing ? data.v : data.k);
    arrows.toggleAttribute("hidden", view.matrix || many() > 6);
    arrowNote.textContent = shown ? (summing ? "pale: value, dark: its share" : "the query and the keys") : "";
    drawing.replaceChildren();
    if (!shown) return;
    const row = now();
    const order = [...data.k.keys(), ...data.v.keys()].filter((place, index, list) => list.indexOf(place) === index && place !== key);
    const name = (letter) => svgSub(letter, key + 1);
    if (summing) {
      fan([...data.v, row.output], (line) => {
        for (const place of [...order, key]) {
          line(data.v[place], "value pale", place === key ? name("v") : []);
          line(row.parts[place], place === key ? "key" : "value");
        }
        line(row.output, "value thick", ["output"]);
      }, "Each value, its weight's share of it, and the sum of the shares");
    } else {
      const query = data.q[queryRow()];
      fan([query, ...data.k], (line) => {
        for (const place of order) line(data.k[place], "key pale");
        line(data.k[key], "key", name("k"));
        line(query, "query", [draw("tspan", { text: "q", "font-style": "italic" })]);
      }, "The query and the keys as arrows");
    }
  }

  /** Arrows from one origin, on axes with the same unit. paintLines gets line(end, class, nodes of its name). */
  function fan(ends, paintLines, label) {
    const reach = (place) => [Math.min(0, ...ends.map((end) => end[place])), Math.max(0, ...ends.map((end) => end[place]))];
    const [[left, right], [low, high]] = [reach(0), reach(1)];
    const unit = (ARROWS - 60) / Math.max(right - left, high - low, 1e-9);
    const x = (value) => ARROWS / 2 + (value - (left + right) / 2) * unit;
    const y = (value) => ARROWS / 2 - (value - (low + high) / 2) * unit;
    const add = (tag, options, ...children) => drawing.append(draw(tag, options, ...children));
    drawing.setAttribute("aria-label", label);
    add("line", { class: "line", x1: 4, x2: ARROWS - 4, y1: y(0), y2: y(0) });
    add("line", { class: "line", x1: x(0), x2: x(0), y1: 4, y2: ARROWS - 4 });
    const taken = [];
    paintLines((end, kind, name = []) => {
      const [dx, dy] = [x(end[0]) - x(0), y(end[1]) - y(0)];
      const length = Math.hypot(dx, dy);
      if (length > 8) arrow(add, [x(0), y(0)], [x(end[0]), y(end[1])], kind);
      else add("circle", { class: `tip ${kind}`, cx: x(end[0]), cy: y(end[1]), r: 2.5 });
      const [right, down] = length > 8 ? [dx / length, dy / length] : [0, -1];
      if (!name.length) return;
      const place = [within(x(end[0]) + 12 * right, 20, ARROWS - 22), within(y(end[1]) + 12 * down + 4, 12, ARROWS - 24)];
      while (taken.some(([left, top]) => Math.abs(left - place[0]) < 40 && Math.abs(top - place[1]) < 18)) place[1] += 18;
      taken.push(place);
      add("text", { class: `small ${kind.split(" ")[0]}`, x: place[0], y: place[1], "text-anchor": "middle" }, ...name);
    });
  }

  // ------------------------------------------------------------ choosing and changing
  /** The number of the table or of the matrices at which the arrow keys stand. */
  function cursor() {
    if (view.cursor) return view.cursor;
    if (!view.matrix) return [view.lines.findLastIndex(isResult), view.key];
    const last = view.blocks.at(-1);
    const start = view.blocks.slice(0, -1).reduce((sum, { numbers }) => sum + numbers[0].length, 0);
    return [view.data.row, last?.columns === "key" ? start + view.key : start];
  }

  /** The block of a column that is counted over all matrices of the step, and the column's number in it. */
  function blockAt(column) {
    let place = column;
    for (const part of view.blocks) {
      if (place < part.numbers[0].length) return [part, place];
      place -= part.numbers[0].length;
    }
    return [view.blocks.at(-1), 0];
  }

  function stand(line, column) {
    if (!view.matrix) {
      const hasQuery = view.lines[line]?.left;
      view.cursor = [line, column < 0 && !hasQuery ? 0 : column];
      if (view.cursor[1] >= 0) view.key = view.cursor[1];
      view.component = view.lines[line].component ?? view.component;
    } else {
      const [part, place] = blockAt(column);
      const row = within(line, 0, part.numbers.length - 1);
      view.cursor = [row, column];
      if (part.columns === "key") view.key = place;
      if (part.rows === "key") view.key = row;
      if (part.rows === "query" && row !== view.data.row) save({ row });
    }
    paint();
    cellAt(...cursor())?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Arrow keys count columns from 0; the table's first is the query's, at −1. */
  const shiftBy = () => (view.matrix || given() ? 0 : 1);
  roving(sheet, {
    size: () => (view.matrix ? [Math.max(0, ...view.blocks.map(({ numbers }) => numbers.length)), view.blocks.reduce((sum, { numbers }) => sum + numbers[0].length, 0)]
      : [view.lines.length, many() + shiftBy()]),
    get: () => [cursor()[0], cursor()[1] + shiftBy()],
    move: (line, column) => { if (!view.matrix || view.blocks.length) stand(line, column - shiftBy()); },
    enter: () => act(cellAt(...cursor())),
  });
  sheet.addEventListener("keydown", (event) => {
    if (event.key !== " " || meantForOthers(sheet, event)) return;
    act(cellAt(...cursor()));
    event.preventDefault();
    event.stopPropagation();
  });
  sheet.addEventListener("click", (event) => {
    if (event.target.closest("[data-show]")) {
      restore(examples.find(({ name }) => name === "vectors"));
      sheet.focus({ preventScroll: true });              // the button is gone, and the focus must not go with it
      return;
    }
    const node = event.target.closest("[data-column]");
    if (!node || view.editing?.cell === node) return;
    const column = Number(node.dataset.column);
    player.stop();
    if (node.dataset.line === undefined) { view.key = column; view.cursor = null; paint(); return; }
    stand(Number(node.dataset.line), column);
    sheet.focus({ preventScroll: true });
    act(node);
  });

  const cellAt = (line, column) => sheet.querySelector(`.rta-as-cell[data-line="${line}"][data-column="${column}"]`);

  /** Enter or a click on a cell: a mask cell turns round, a given number becomes an input. */
  function act(node) {
    if (!node?.dataset.part) return;
    const [part, row, number] = [node.dataset.part, Number(node.dataset.row), Number(node.dataset.number)];
    player.stop();
    card.fail("");
    if (part === "mask") change("mask", row, number, 1 - view.data.mask[row][number]);
    else edit(node, part, row, number);
  }

  function edit(node, part, row, number) {
    const input = make("input", { type: "number", step: "any", "aria-label": node.title.replace(CHANGE, "") });
    input.value = String(view.data[part][row][number]);
    const close = (keep, stay) => {
      if (view.editing?.input !== input) return;
      view.editing = null;                               // first: taking the input away makes it lose the focus again
      try {
        const value = keep ? readNumber(input) : view.data[part][row][number];
        if (value === view.data[part][row][number]) paint();
        else change(part, row, number, value);
      } catch (problem) {
        paint();
        card.fail(`${problem.message} The last good one stays.`);
      }
      if (stay) sheet.focus({ preventScroll: true });
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();                           // the arrow keys belong to the number now
      if (event.key === "Enter") close(true, true);
      if (event.key === "Escape") close(false, true);
    });
    input.addEventListener("blur", () => close(true, false));
    view.editing = { input, cell: node };
    node.replaceChildren(input);
    input.focus({ preventScroll: true });
    input.select();
  }

  // ------------------------------------------------------------ drawing
  const themeNow = followTheme(card.root, () => { if (view.matrix && !view.editing) paint(); }, signal);

  function paintControls() {
    const { data } = view;
    views.choose(view.matrix ? "matrix" : "one");
    picker.value = String(examples.indexOf(chosen()));
    scaling.checked = data.scale;
    scaleField.hidden = given();
    queryField.hidden = view.rows.length < 2;
    patchChildren(queries, data.tokens.map((_, place) => make("option", { value: place, text: word(place) })));
    queries.value = String(data.row);
    card.note.textContent = view.matrix ? "all queries at once" : "";
    const row = now();
    const values = [show(row.score[view.key], view.digits.score), show(row.scaled[view.key], view.digits.scaled), show(row.masked[view.key], view.digits.scaled),
      show(row.weights[view.key], 3), shortened(vector(row.output, 2), 22)];
    tabs.forEach((tab, place) => {
      tab.setAttribute("aria-current", place + 1 === view.step ? "step" : "false");
      tab.lastChild.textContent = place + 1 <= view.step ? values[place] : "\u00a0";
    });
  }

  function readOut() {
    const row = now();
    const node = cellAt(...cursor());
    const part = node?.dataset.part;
    const value = part && part !== "mask" ? [` · ${node.title.replace(CHANGE, "")}: ${node.textContent}`] : [];
    const told = part === "mask" ? "Enter forbids or allows" : part ? "Enter changes it" : "arrow keys move";
    const weight = view.step >= 4 ? [", weight ", make("b", { text: show(row.weights[view.key], 3) })] : [];
    card.say(theQuery(), " → ", theKey(), `: score ${show(row.score[view.key], view.digits.score)}`, ...weight, ...value, make("span", { class: "rta-note", text: ` · ${told}` }));
  }

  function paint() {
    view.digits = decimals();
    paintControls();
    const missing = view.matrix && (given() || view.rows.length < many());
    patchChildren(sentence, (view.matrix && !missing ? toldForAll() : told()).map((part) => (typeof part === "string" ? document.createTextNode(part) : part)));
    if (view.matrix) paintMatrices();
    else paintTable();
    paintArrows();
    sheet.querySelector(".rta-as-cursor")?.classList.remove("rta-as-cursor");
    cellAt(...cursor())?.classList.add("rta-as-cursor");
    patchChildren(formula, missing ? [] : formulaLines().map((line) => make("div", {}, ...line)));
    readOut();
  }

  /** Read all settings and draw. */
  const take = guarded(card, () => {
    view.data = read((name) => model.get(name));
    view.rows = follow(view.data);
    view.matrix = model.get("view") === "matrix";
    view.step = model.get("step");
    view.key = view.data.tokens.length > view.key ? view.key : 0;
    view.component = view.data.v[0].length > view.component ? view.component : 0;
    paint();
  });

  // Several settings may change together: look at them when all of them have.
  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    queueMicrotask(() => { waiting = false; take(); });
  };
  for (const name of [...SETTINGS, "view", "step", "preset"]) model.on(`change:${name}`, later);

  card.root.numbers = () => ({
    tokens: view.data.tokens, row: view.data.row, key: view.key, step: view.step, view: view.matrix ? "matrix" : "one", preset: model.get("preset"),
    q: view.data.q, k: view.data.k, v: view.data.v, given: view.data.scores, mask: view.data.mask, scale: view.data.scale,
    ...Object.fromEntries(["score", "scaled", "masked", "weights", "output"].map((name) => [name, view.rows.map((row) => row[name].map((value) => (value === -Infinity ? null : value)))])),
  });
  view.key = Math.max(0, model.get("row"));
  take();
}

export default { render };
