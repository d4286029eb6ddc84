// SoftmaxScale: one row of attention, from raw scores to the slope of its softmax, computed here in doubles; the same
// maths as softmax_row() and median_slopes() in Python, number by number. With logits it shows soft targets instead, the
// same as soft_targets() and over_temperatures().

const SIZES = Array.from({ length: 11 }, (_, power) => 2 ** power);
const WARMTH = 20;                          // slider steps for one power of ten of the temperature
const TINIEST = -10;                        // powers of ten below this are drawn on the floor of the chart

const HOTTEST_TARGET = 20;                  // temperature of soft targets, from 1 on
const TEMPERATURES = Array.from({ length: 25 }, (_, step) => HOTTEST_TARGET ** (step / 24));

const scaleOf = (dK, temperature, scaled) => (scaled ? 1 / Math.sqrt(dK) : 1) / temperature;
const total = (values, of) => values.reduce((sum, value) => sum + of(value), 0);

function softmax(scores) {
  const largest = scores.reduce((most, score) => Math.max(most, score), -Infinity);       // there may be 100,000
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = total(powers, (power) => power);
  return powers.map((power) => power / sum);
}

/**
 * Norm of the Jacobian diag(w) − w wᵀ, times the scale: the slope of the weights in the raw scores. 1 − w is taken as
 * the sum of the other weights: near w = 1 the difference would keep no digit.
 */
function softmaxSlope(weights, scale) {
  let squares = 0;
  for (let i = 0; i < weights.length; i += 1) {
    let others = 0;
    for (let j = 0; j < weights.length; j += 1) {
      if (i === j) continue;
      const product = weights[i] * weights[j];
      others += product;
      squares += product * product;
    }
    squares += others * others;
  }
  return scale * Math.sqrt(squares);
}

/** Sample variance, the sum of squares over n − 1. */
function variance(values) {
  const mean = total(values, (value) => value) / values.length;
  return total(values, (value) => (value - mean) ** 2) / (values.length - 1);
}

function softmaxRow(directions, dK, temperature, scaled) {
  const raw = directions.map((direction) => direction * Math.sqrt(dK));
  const scale = scaleOf(dK, temperature, scaled);
  const entering = raw.map((score) => score * scale);
  const weights = softmax(entering);
  return {
    raw, entering, weights, slope: softmaxSlope(weights, scale), variance: variance(raw), variance_in: variance(entering),
    entropy: entropyOf(weights),
  };
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(half)] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The median slope over the random heads for each size: [with the division, without]. */
function medianSlopes(noise, lengths, temperature) {
  const [heads, keys] = noise.shape;
  return [true, false].map((scaled) => SIZES.map((dK, size) => {
    const scale = scaleOf(dK, temperature, scaled);
    const slopes = new Float64Array(heads);
    for (let head = 0; head < heads; head += 1) {
      const spread = Math.sqrt(dK) * lengths.data[size * heads + head] * scale;
      const scores = Array.from(noise.data.subarray(head * keys, (head + 1) * keys), (value) => value * spread);
      slopes[head] = softmaxSlope(softmax(scores), scale);
    }
    return median(slopes);
  }));
}

const entropyOf = (weights) => -total(weights, (weight) => (weight > 0 ? weight * Math.log(weight) : 0));
const lengthOf = (values) => Math.sqrt(total(values, (value) => value * value));

/**
 * A teacher's probabilities at T = 1 and at a temperature, and the gradient of KL(teacher ‖ student) in a student's logits.
 * known: what this function said of the same logits before, so that T = 1 is computed once.
 */
function softTargets(logits, temperature, student, known = null) {
  const at = (scores, divisor) => softmax(scores.map((score) => score / divisor));
  const [hard, soft] = [known?.hard ?? softmax(logits), at(logits, temperature)];
  const found = { hard, soft, entropy_hard: known?.entropy_hard ?? entropyOf(hard), entropy: entropyOf(soft) };
  if (!student.length) return found;
  const theirs = at(student, temperature);
  const gradient = theirs.map((share, place) => (share - soft[place]) / temperature);
  return { ...found, student: theirs, gradient, scaled: gradient.map((value) => temperature ** 2 * value) };
}

/** The lines of the chart: the gradient's length without T² and with it, or without a student the entropy. */
function overTemperatures(logits, student) {
  const first = softTargets(logits, 1, student);
  const rows = TEMPERATURES.map((temperature) => softTargets(logits, temperature, student, first));
  return student.length ? ["gradient", "scaled"].map((name) => rows.map((row) => lengthOf(row[name]))) : [rows.map((row) => row.entropy)];
}

/** The smallest of 1, 2, 3, 5, 8, 10, … that holds the value: an axis that moves in steps shows that a bar grows. */
function axisEnd(value) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 3, 5, 8, 10].map((part) => part * ten).find((end) => end >= value);
}

/** A number in as few characters as a bar has room for. */
const short = (value) => (Number.isInteger(value) && Math.abs(value) < 10000 ? fixed(value, 0) : inShort(value));
const inShort = (value) => (Math.abs(value) < 99.995 ? fixed(value, 2) : Math.abs(value) < 9999.5 ? fixed(value, 0) : scientific(value, 0).replace("-", "−"));
const number = (text) => make("span", { class: "rta-mono", text });

/** A number with a small meter: how much of `full` it is, and a tick where `mark` lies. */
function fact(name, value, beside, part, mark) {
  const place = (share) => `${100 * within(share, 0, 1)}%`;
  return make("div", {}, make("div", { text: name }),
    make("div", {}, make("b", { class: "rta-mono", text: value }), make("span", { class: "rta-note", text: ` ${beside}` })),
    make("div", { class: "rta-scale-meter", "aria-hidden": "true" }, make("span", { class: "rta-scale-bar", style: `width: ${place(part)}; left: 0` }),
      make("span", { class: "rta-scale-tick", style: `left: ${place(mark)}` })));
}

const tableRow = (...children) => make("div", { role: "row", class: "rta-scale-row" }, ...children);
const tableHead = (title, note = "") => make("span", { role: "columnheader" }, make("b", { text: title }), make("span", { class: "rta-note", text: note }));
const tableCell = (...children) => make("span", { role: "cell", class: "rta-scale-cell" }, ...children);

/** A bar from the middle of its track: to the right and orange above zero, to the left and blue below. */
function signedCell(value, end, text) {
  const part = 50 * Math.abs(value) / end;
  const side = value < 0 ? "below" : "above";
  return tableCell(make("span", { class: "rta-scale-track" },
    make("span", { class: `rta-scale-bar rta-${side}`, style: `width: ${part}%; ${value < 0 ? "right" : "left"}: 50%`, hidden: value === 0 })), number(text));
}

function render(context) {
  if (decode(context.model.get("logits")).data.length) renderSoft(context);
  else renderRow(context);
}

// ---------------------------------------------------------------- one row of attention

function renderRow({ model, el, signal }) {
  const card = makeCard(el, { kind: "softmax-scale", title: "Softmax and its scale" });
  const draws = decode(model.get("draws"));
  const [noise, lengths] = [decode(model.get("noise")), decode(model.get("lengths"))];
  const keys = draws.shape[1];
  const tokens = Array.from({ length: keys }, (_, index) => (
    model.get("tokens").length ? shortened(legible(model.get("tokens")[index]), 12) : `key ${index + 1}`));
  const view = { medians: null, warmed: null, row: null };
  const put = makeSaver(model);

  // ------------------------------------------------------------ controls
  const division = makeSwitch("Division by the square root of d_k", [["true", "÷ √d_k"], ["false", "not divided"]], String(model.get("scaled")),
    (value) => put("scaled", value === "true"));
  const another = make("button", { type: "button", class: "rta-button", text: "New draw",
    on: { click: () => put("draw", (model.get("draw") + 1) % draws.shape[0]) } });
  card.controls.append(division, another);
  const size = makeSlider({ label: "head size d_k", min: 0, max: SIZES.length - 1, step: 1, value: Math.log2(model.get("d_k")),
    show: (power) => String(2 ** Math.round(power)), changed: (power) => put("d_k", 2 ** power) });
  const warmth = makeSlider({ label: "temperature", min: -WARMTH, max: WARMTH, step: 1, value: 0,
    show: () => String(model.get("temperature")), changed: (step) => put("temperature", Number((10 ** (step / WARMTH)).toPrecision(2))) });

  // ------------------------------------------------------------ pictures
  const rowHeight = keys > 10 ? 19 : 24;
  const frame = { left: 40, right: 14, top: 6, bottom: 36, height: Math.max(200, rowHeight * keys + 20) };
  const table = make("div", { class: "rta-scale-table", role: "table", style: `--row: ${rowHeight}px`, "aria-label": "Scores and weights of each key" });
  const facts = make("div", { class: "rta-scale-facts" });
  const legendLine = (kind) => draw("svg", { width: 18, height: 8 }, draw("path", { class: kind, d: "M0,4L18,4" }));
  const ring = draw("svg", { width: 10, height: 10 }, draw("circle", { class: "mark", cx: 5, cy: 5, r: 4 }));
  const legend = make("div", { class: "rta-caption rta-legend" }, make("span", {}, legendLine("curve"), " divided"),
    make("span", {}, legendLine("undivided"), " not divided"), make("span", {}, ring, " this row"));
  const chartBox = make("div", {}, make("div", {}, make("b", { text: "slope" }), make("span", { class: "rta-note", text: " median of 500 random heads" })), legend);
  card.body.append(make("div", { class: "rta-scale-sliders" }, size, warmth), make("div", { class: "rta-scale" }, table, chartBox), facts);
  const chart = makeStage(chartBox, { height: frame.height, label: "Median slope against d_k", paint: guarded(card, paintChart), signal });
  const settings = () => ({ d_k: model.get("d_k"), temperature: model.get("temperature"), scaled: model.get("scaled"), draw: model.get("draw") });

  // ------------------------------------------------------------ the rows
  const shareCell = (weight) => tableCell(make("span", { class: "rta-scale-track rta-from-zero" },
    make("span", { class: "rta-scale-bar", style: `width: ${100 * weight}%; left: 0` })), number(fixed(weight, 3)));

  function showRows() {
    const { d_k: dK, temperature, scaled } = settings();
    const { raw, entering, weights } = view.row;
    const end = axisEnd(Math.max(...raw.concat(entering).map(Math.abs)));
    const steps = [scaled ? `÷ ${short(Math.sqrt(dK))}` : "", temperature === 1 ? "" : `÷ ${temperature}`].filter(Boolean);
    const axis = () => make("span", { class: "rta-scale-axis", "aria-hidden": "true" }, ...[short(-end), "0", short(end)].map((text) => make("span", { text })));
    const likely = weights.indexOf(Math.max(...weights));
    table.replaceChildren(
      tableRow(make("span", { role: "columnheader" }, make("b", { text: "key" })), tableHead("q · k", "raw score"),
        tableHead("into softmax", steps.length ? `q·k ${steps.join(" ")}` : "q·k as it is"), tableHead("weight", "sums to 1")),
      ...tokens.map((token, index) => tableRow(make(index === likely ? "b" : "span", { role: "rowheader", class: "rta-scale-key", text: token }),
        signedCell(raw[index], end, inShort(raw[index])), signedCell(entering[index], end, inShort(entering[index])), shareCell(weights[index]))),
      make("div", { class: "rta-scale-row rta-note", "aria-hidden": "true" }, make("span"), axis(), axis(),
        make("span", { class: "rta-scale-axis" }, ...["0", "", "1"].map((text) => make("span", { text })))),
    );
  }

  // ------------------------------------------------------------ the facts
  const median = () => view.medians[model.get("scaled") ? 0 : 1][Math.log2(model.get("d_k"))];

  function showFacts() {
    const { d_k: dK, temperature, scaled } = settings();
    const { row } = view;
    const expected = dK * scaleOf(dK, temperature, scaled) ** 2;
    const half = (value, wanted) => value / (2 * wanted);
    facts.replaceChildren(
      fact("variance of q·k", short(row.variance), `expected ${dK}`, half(row.variance, dK), 0.5),
      fact("variance into softmax", short(row.variance_in), `expected ${short(expected)}`, half(row.variance_in, expected), 0.5),
      fact("entropy", fixed(row.entropy), `of log ${keys} = ${fixed(Math.log(keys))}`, row.entropy / Math.log(keys), 1),
      fact("slope ‖∂w / ∂(q·k)‖", scientific(row.slope, 2), `median ${scientific(median(), 2)}`, median() > 0 ? half(row.slope, median()) : 0, 0.5),
    );
  }

  // ------------------------------------------------------------ the chart
  function paintChart(width) {
    chart.clear(width, frame.height);
    const { d_k: dK, scaled } = settings();
    const powers = view.medians.map((medians) => medians.map(Math.log10));
    const seen = powers.flat().filter((power) => power >= TINIEST);
    const low = Math.max(TINIEST, Math.min(-2, Math.floor(Math.min(...seen))));
    const high = Math.max(0, Math.ceil(Math.max(...seen)));
    const floor = frame.height - frame.bottom;
    const x = (size) => frame.left + (Math.log2(size) / (SIZES.length - 1)) * (width - frame.left - frame.right);
    const y = (power) => frame.top + ((high - within(power, low, high)) / (high - low)) * (floor - frame.top);
    const every = Math.ceil((high - low) / 4);
    for (let power = high; power >= low; power -= every) {
      chart.add("line", { class: "line", x1: frame.left, x2: width - frame.right, y1: y(power), y2: y(power) });
      chart.add("text", { class: "dim small", x: frame.left - 6, y: y(power) + 4, "text-anchor": "end", text: powerOfTen(power) });
    }
    for (const size of SIZES.filter((_, power) => power % 2 === 0)) {
      chart.add("text", { class: "dim small", x: x(size), y: floor + 15, "text-anchor": "middle", text: String(size) });
    }
    chart.add("text", { class: "dim small", x: (frame.left + width - frame.right) / 2, y: floor + 31, "text-anchor": "middle", text: "d_k" });
    chart.add("line", { class: "ink", x1: x(dK), x2: x(dK), y1: frame.top, y2: floor });
    powers.forEach((line, index) => {
      const now = scaled === (index === 0);
      chart.add("path", { class: `${index === 0 ? "curve" : "undivided"}${now ? "" : " other"}`,
        d: line.map((power, place) => `${place ? "L" : "M"}${x(SIZES[place])},${y(power)}`).join("") });
      if (now) chart.add("circle", { class: index === 0 ? "dot" : "outside", cx: x(dK), cy: y(line[Math.log2(dK)]), r: 4 });
    });
    chart.add("circle", { class: "mark", cx: x(dK), cy: y(Math.log10(view.row.slope)), r: 5 });
  }

  // ------------------------------------------------------------ what is said
  /** How the slopes with and without the division compare. */
  function verdict(times) {
    const about = scientific(times, times > 1 && times < 2 ? 1 : 0);           // 500 heads give no more digits
    if (times >= 1.25) return [" the division makes the slope about ", make("b", {}, `${about} times`), " as large."];
    if (times > 0.8) return [" the division hardly changes the slope."];
    return [" the division ", make("b", { text: "lowers" }), ` the slope, to about ${about} of it: the factor 1/√d_k costs more than it saves.`];
  }

  function say() {
    const { d_k: dK, temperature, scaled } = settings();
    const { weights } = view.row;
    const spread = Math.sqrt(dK) * scaleOf(dK, temperature, scaled);
    const place = Math.log2(dK);
    const [divided, plain] = view.medians.map((medians) => medians[place]);
    const divisors = [scaled ? `√${dK}` : "", temperature === 1 ? "" : `the temperature ${temperature}`].filter(Boolean);
    card.say(make("b", { text: `d_k = ${dK}: ` }), divisors.length ? `each score is divided by ${divisors.join(" and by ")}, ` : "the scores are not divided, ",
      "so a typical score into softmax is ", number(short(spread)), " from 0. The largest weight is ",
      number(fixed(Math.max(...weights), 3)), " (", tokens[weights.indexOf(Math.max(...weights))], "). Over 500 random heads",
      ...(plain > 0 ? verdict(divided / plain) : [" nothing is left of the slope without the division."]));
    chart.stage.setAttribute("aria-label", `Median slope at d_k ${dK}: ${scientific(divided)} divided, ${scientific(plain)} not divided`);
  }

  // ------------------------------------------------------------ changes
  const update = guarded(card, () => {
    const { d_k: dK, temperature, scaled, draw: which } = settings();
    if (!SIZES.includes(dK) || !(temperature >= 0.1 && temperature <= 10)) {
      card.fail(`d_k = ${dK}, temperature ${temperature} cannot be shown; the picture shows the last good setting.`);
      return;
    }
    card.fail("");
    view.row = softmaxRow(Array.from(draws.data.subarray(which * keys, (which + 1) * keys)), dK, temperature, scaled);
    if (view.warmed !== temperature) view.medians = medianSlopes(noise, lengths, temperature);
    view.warmed = temperature;
    size.put(Math.log2(dK));
    warmth.put(Math.round(WARMTH * Math.log10(temperature)));
    division.choose(String(scaled));
    card.note.textContent = `one query and ${keys} keys, draw ${which + 1} of ${draws.shape[0]}`;
    showRows();
    showFacts();
    chart.redraw();
    say();
  });
  for (const name of ["d_k", "temperature", "scaled", "draw"]) model.on(`change:${name}`, update);
  card.root.numbers = () => ({ ...settings(), ...view.row, medians: view.medians });
  update();
}

// ---------------------------------------------------------------- soft targets

/** A probability in three decimals, or where these would be 0.000 as a power of ten. */
const chance = (share) => (share >= 0.0005 ? fixed(share, 3) : share > 0 ? scientific(share, 0) : "0");

function renderSoft({ model, el, signal }) {
  const card = makeCard(el, { kind: "softmax-scale", title: "Soft targets" });
  const [logits, student] = ["logits", "student"].map((name) => decode(model.get(name)).data);          // typed: of 100,000 numbers an array is slow
  const listed = model.get("listed");
  const others = Array.from(logits.keys()).filter((place) => !listed.includes(place));
  const names = listed.map((place, index) => (model.get("tokens").length ? shortened(legible(model.get("tokens")[index]), 16) : `class ${place}`));
  if (others.length) names.push(`${others.length.toLocaleString("en")} others`);
  const best = logits.reduce((most, logit, place) => (logit > logits[most] ? place : most), 0);
  const view = { row: null, lines: overTemperatures(logits, student), first: names[listed.indexOf(best)] };
  const put = makeSaver(model);
  card.note.textContent = `a teacher's probabilities of ${logits.length.toLocaleString("en")} classes${student.length ? ", and what they ask of a student" : ""}`;

  // ------------------------------------------------------------ the parts of the card
  const warmth = makeSlider({ label: "temperature T", min: 0, max: Math.round(WARMTH * Math.log10(HOTTEST_TARGET)), step: 1, value: 0,
    show: () => String(model.get("temperature")), changed: (step) => put("temperature", Number((10 ** (step / WARMTH)).toPrecision(2))) });
  card.controls.append(warmth);
  const rowHeight = names.length > 10 ? 19 : 24;
  const frame = { left: 40, right: 14, top: 6, bottom: 36, height: Math.max(180, rowHeight * names.length + 20) };
  const table = make("div", { class: `rta-scale-table rta-soft${student.length ? " rta-soft-both" : ""}`, role: "table", style: `--row: ${rowHeight}px`,
    "aria-label": "Probability of each class" });
  const sign = (kind) => make("span", { class: `rta-soft-sign rta-soft-${kind}`, "aria-hidden": "true" });
  const key = make("div", { class: "rta-caption rta-legend" });
  const legendLine = (kind) => draw("svg", { width: 18, height: 8 }, draw("path", { class: kind, d: "M0,4L18,4" }));
  const legend = make("div", { class: "rta-caption rta-legend", hidden: !student.length }, make("span", {}, legendLine("curve"), " × T²"),
    make("span", {}, legendLine("undivided"), " as it is"));
  const chartBox = make("div", {}, make("div", {}, make("b", { text: student.length ? "length of the gradient" : "entropy" })), legend);
  const facts = make("div", { class: "rta-scale-facts" });
  card.body.append(make("div", { class: "rta-scale" }, make("div", {}, table, key), chartBox), facts);
  const chart = makeStage(chartBox, { height: frame.height, label: "Against the temperature", paint: guarded(card, paintChart), signal });

  // ------------------------------------------------------------ the rows
  /** The listed classes, and the sum of the others as one more. */
  const ofRows = (values) => {
    const picked = listed.map((place) => values[place]);
    return others.length ? [...picked, total(others, (place) => values[place])] : picked;
  };

  /** What all classes but the first have together. Added up: near 1 the difference to 1 would keep no digit. */
  const rest = (shares) => shares.reduce((sum, share, place) => (place === best ? sum : sum + share), 0);

  /** A ring at T = 1, a dot at the temperature, a bar for the student, on a scale of powers of ten. */
  function chanceCell(low, hard, soft, theirs) {
    const at = (share) => 100 * (1 - Math.max(Math.log10(share), low) / low);
    const lines = powersOf(low).map((power) => make("span", { class: "rta-soft-power", style: `left: ${100 * (1 - power / low)}%` }));
    const [from, to] = [at(hard), at(soft)];
    const mark = (kind, place) => make("span", { class: `rta-soft-sign rta-soft-${kind}`, style: `left: ${place}%` });
    return make("span", { role: "cell", class: "rta-scale-track rta-from-zero" }, ...lines,
      make("span", { class: "rta-soft-line", style: `left: ${Math.min(from, to)}%; width: ${Math.abs(to - from)}%` }),
      mark("hard", from), mark("now", to), theirs === undefined ? null : mark("student", at(theirs)));
  }

  function showRows() {
    const { row } = view;
    const temperature = model.get("temperature");
    const [hard, soft] = [ofRows(row.hard), ofRows(row.soft)];
    const [theirs, scaled] = [row.student, row.scaled].map((values) => (values ? ofRows(values) : []));
    const seen = [...hard, ...soft, ...theirs].filter((share) => share > 0).map(Math.log10);
    const low = within(Math.floor(Math.min(...seen)), TINIEST, -1);
    const end = Math.max(...scaled.map(Math.abs), 1e-300);
    const digits = (value) => make("span", { role: "cell", class: "rta-mono rta-soft-digits", text: value });
    const heads = [tableHead("class"), tableHead("probability", "powers of ten"), tableHead("T = 1"), tableHead(`T = ${temperature}`)];
    const bothHeads = student.length ? [tableHead("student", `T = ${temperature}`), tableHead("gradient × T²", "T · (student − teacher)")] : [];
    table.replaceChildren(
      tableRow(...heads, ...bothHeads),
      ...names.map((name, index) => tableRow(make(name === view.first ? "b" : "span", { role: "rowheader", class: "rta-scale-key", text: name }),
        chanceCell(low, hard[index], soft[index], theirs[index]), digits(chance(hard[index])), digits(chance(soft[index])),
        ...(student.length ? [digits(chance(theirs[index])), signedCell(scaled[index], end, inShort(scaled[index]))] : []))),
      axisRow(low),
    );
    key.replaceChildren(make("span", {}, sign("hard"), " teacher, T = 1"), make("span", {}, sign("now"), ` teacher, T = ${temperature}`),
      student.length ? make("span", {}, sign("student"), ` student, T = ${temperature}`) : "");
  }

  /** The exponents that get a line and a label, from 0 down. */
  function powersOf(low) {
    const every = Math.ceil(-low / (student.length ? 3 : 5));
    return Array.from({ length: Math.floor(-low / every) + 1 }, (_, step) => -step * every);
  }

  function axisRow(low) {
    return make("div", { class: "rta-scale-row rta-note", "aria-hidden": "true" }, make("span"), make("span", { class: "rta-soft-axis" },
      ...powersOf(low).map((power) => make("span", { style: `left: ${100 * (1 - power / low)}%`, text: power ? powerOfTen(power) : "1" }))));
  }

  function showFacts() {
    const { row } = view;
    const { length } = logits;
    const found = [fact("entropy", fixed(row.entropy), `at T = 1: ${fixed(row.entropy_hard)}`, row.entropy / Math.log(length), row.entropy_hard / Math.log(length)),
      fact(`all but ${view.first}`, chance(rest(row.soft)), `at T = 1: ${chance(rest(row.hard))}`, rest(row.soft), rest(row.hard))];
    if (student.length) {
      const [plain, scaled, start] = [lengthOf(row.gradient), lengthOf(row.scaled), view.lines[0][0]];
      const half = (value) => (start > 0 ? value / (2 * start) : 0);
      found.push(fact("length of the gradient", scientific(plain), `at T = 1: ${scientific(start)}`, half(plain), 0.5),
        fact("the same × T²", scientific(scaled), `at T = 1: ${scientific(start)}`, half(scaled), 0.5));
    }
    facts.replaceChildren(...found);
  }

  // ------------------------------------------------------------ the chart
  /** The scale of the chart: {low, high, ticks: [[value, text]], value: what a number is drawn at}. */
  function chartScale() {
    if (!student.length) {
      const high = Math.log(logits.length);
      return { low: 0, high, ticks: [0, high / 2, high].map((tick) => [tick, fixed(tick, 1)]), of: (value) => value };
    }
    const of = (value) => Math.max(Math.log10(value), TINIEST);
    const powers = view.lines.flat().map(of);
    const [low, high] = [Math.floor(Math.min(...powers)), Math.max(Math.ceil(Math.max(...powers)), Math.floor(Math.min(...powers)) + 1)];
    const every = Math.ceil((high - low) / 5);
    const ticks = Array.from({ length: Math.floor((high - low) / every) + 1 }, (_, step) => [high - step * every, powerOfTen(high - step * every)]);
    return { low, high, ticks, of };
  }

  function paintChart(width) {
    chart.clear(width, frame.height);
    const { low, high, ticks, of } = chartScale();
    const floor = frame.height - frame.bottom;
    const x = (temperature) => frame.left + (Math.log(temperature) / Math.log(HOTTEST_TARGET)) * (width - frame.left - frame.right);
    const y = (value) => frame.top + ((high - value) / (high - low)) * (floor - frame.top);
    for (const [tick, text] of ticks) {
      chart.add("line", { class: "line", x1: frame.left, x2: width - frame.right, y1: y(tick), y2: y(tick) });
      chart.add("text", { class: "dim small", x: frame.left - 6, y: y(tick) + 4, "text-anchor": "end", text });
    }
    for (const tick of [1, 2, 5, 10, 20]) {
      chart.add("text", { class: "dim small", x: x(tick), y: floor + 15, "text-anchor": "middle", text: String(tick) });
    }
    chart.add("text", { class: "dim small", x: (frame.left + width - frame.right) / 2, y: floor + 31, "text-anchor": "middle", text: "temperature T" });
    const now = model.get("temperature");
    chart.add("line", { class: "ink", x1: x(now), x2: x(now), y1: frame.top, y2: floor });
    const { row } = view;
    const here = student.length ? [lengthOf(row.gradient), lengthOf(row.scaled)] : [row.entropy];
    view.lines.forEach((line, index) => {
      const plain = student.length && index === 0;
      chart.add("path", { class: plain ? "undivided" : "curve", d: line.map((value, step) => `${step ? "L" : "M"}${x(TEMPERATURES[step])},${y(of(value))}`).join("") });
      chart.add("circle", { class: plain ? "outside" : "dot", cx: x(now), cy: y(of(here[index])), r: 4 });
    });
  }

  // ------------------------------------------------------------ what is said
  /** The two likeliest classes after the first. */
  function runnersUp() {
    const rest = listed.filter((place) => place !== best).sort((one, other) => logits[other] - logits[one]);
    return rest.length < 2 ? null : rest.slice(0, 2).map((place) => ({ place, name: names[listed.indexOf(place)] }));
  }

  function say() {
    const { row } = view;
    const temperature = model.get("temperature");
    const parts = [make("b", { text: `T = ${temperature}: ` }), "the other classes together have ", number(chance(rest(row.soft))), " of the probability",
      ...(temperature > 1 ? [", ", number(chance(rest(row.hard))), " at T = 1."] : ["."])];
    const pair = runnersUp();
    if (pair) {
      const further = logits[pair[0].place] - logits[pair[1].place];        // both probabilities may be too small for a number
      const times = (divisor) => number(scientific(Math.exp(further / divisor), 1));
      parts.push(` ${pair[0].name} is `, times(1), ` times as likely as ${pair[1].name}${temperature > 1 ? " at T = 1, here " : ""}`, ...(temperature > 1 ? [times(temperature), " times"] : []), ".");
    }
    if (student.length && lengthOf(row.gradient) > 0) {
      const twice = softTargets(logits, 2 * temperature, student, row);
      const [plain, scaled] = ["gradient", "scaled"].map((name) => number(fixed(lengthOf(twice[name]) / lengthOf(row[name]), 2)));
      parts.push(" At twice this temperature the gradient is ", plain, " times as long, with T² ", scaled, " times.");
    }
    card.say(...parts);
    chart.stage.setAttribute("aria-label", student.length ? `Length of the student's gradient at temperature ${temperature}: ${scientific(lengthOf(row.gradient))}, times T squared ${scientific(lengthOf(row.scaled))}`
      : `Entropy at temperature ${temperature}: ${fixed(row.entropy)}`);
  }

  // ------------------------------------------------------------ changes
  const update = guarded(card, () => {
    const temperature = model.get("temperature");
    if (!(temperature >= 1 && temperature <= HOTTEST_TARGET)) {
      card.fail(`Temperature ${temperature} cannot be shown; the picture shows the last good setting.`);
      return;
    }
    card.fail("");
    view.row = softTargets(logits, temperature, student, view.row);
    warmth.put(Math.round(WARMTH * Math.log10(temperature)));
    showRows();
    showFacts();
    chart.redraw();
    say();
  });
  model.on("change:temperature", update);
  card.root.numbers = () => ({ temperature: model.get("temperature"), listed, lines: view.lines,
    ...Object.fromEntries(Object.entries(view.row).map(([name, value]) => [name, typeof value === "number" ? value : Array.from(value)])) });
  update();
}

export default { render };
