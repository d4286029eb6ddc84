// SoftmaxScale: one row of attention, from raw scores to the slope of its softmax, computed here in doubles; the same
// maths as softmax_row() and median_slopes() in Python, number by number.

const SIZES = Array.from({ length: 11 }, (_, power) => 2 ** power);
const WARMTH = 20;                          // slider steps for one power of ten of the temperature
const TINIEST = -10;                        // powers of ten below this are drawn on the floor of the chart

const scaleOf = (dK, temperature, scaled) => (scaled ? 1 / Math.sqrt(dK) : 1) / temperature;
const total = (values, of) => values.reduce((sum, value) => sum + of(value), 0);

function softmax(scores) {
  const largest = Math.max(...scores);
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
    entropy: -total(weights, (weight) => (weight > 0 ? weight * Math.log(weight) : 0)),
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

/** The smallest of 1, 2, 3, 5, 8, 10, … that holds the value: an axis that moves in steps shows that a bar grows. */
function axisEnd(value) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 3, 5, 8, 10].map((part) => part * ten).find((end) => end >= value);
}

/** A number in as few characters as a bar has room for. */
const short = (value) => (Number.isInteger(value) && Math.abs(value) < 10000 ? fixed(value, 0) : inShort(value));
const inShort = (value) => (Math.abs(value) < 99.995 ? fixed(value, 2) : Math.abs(value) < 9999.5 ? fixed(value, 0) : scientific(value, 0).replace("-", "−"));
const number = (text) => make("span", { class: "rta-mono", text });

function render({ model, el, signal }) {
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
  const cell = (...children) => make("span", { role: "cell", class: "rta-scale-cell" }, ...children);

  /** A bar from the middle of its track: to the right and orange above zero, to the left and blue below. */
  function signedCell(value, end) {
    const part = 50 * Math.abs(value) / end;
    const side = value < 0 ? "below" : "above";
    return cell(make("span", { class: "rta-scale-track" },
      make("span", { class: `rta-scale-bar rta-${side}`, style: `width: ${part}%; ${value < 0 ? "right" : "left"}: 50%`, hidden: value === 0 })), number(inShort(value)));
  }
  const shareCell = (weight) => cell(make("span", { class: "rta-scale-track rta-from-zero" },
    make("span", { class: "rta-scale-bar", style: `width: ${100 * weight}%; left: 0` })), number(fixed(weight, 3)));

  function showRows() {
    const { d_k: dK, temperature, scaled } = settings();
    const { raw, entering, weights } = view.row;
    const end = axisEnd(Math.max(...raw.concat(entering).map(Math.abs)));
    const steps = [scaled ? `÷ ${short(Math.sqrt(dK))}` : "", temperature === 1 ? "" : `÷ ${temperature}`].filter(Boolean);
    const head = (title, note) => make("span", { role: "columnheader" }, make("b", { text: title }), make("span", { class: "rta-note", text: note }));
    const row = (...children) => make("div", { role: "row", class: "rta-scale-row" }, ...children);
    const axis = () => make("span", { class: "rta-scale-axis", "aria-hidden": "true" }, ...[short(-end), "0", short(end)].map((text) => make("span", { text })));
    const likely = weights.indexOf(Math.max(...weights));
    table.replaceChildren(
      row(make("span", { role: "columnheader" }, make("b", { text: "key" })), head("q · k", "raw score"),
        head("into softmax", steps.length ? `q·k ${steps.join(" ")}` : "q·k as it is"), head("weight", "sums to 1")),
      ...tokens.map((token, index) => row(make(index === likely ? "b" : "span", { role: "rowheader", class: "rta-scale-key", text: token }),
        signedCell(raw[index], end), signedCell(entering[index], end), shareCell(weights[index]))),
      make("div", { class: "rta-scale-row rta-note", "aria-hidden": "true" }, make("span"), axis(), axis(),
        make("span", { class: "rta-scale-axis" }, ...["0", "", "1"].map((text) => make("span", { text })))),
    );
  }

  // ------------------------------------------------------------ the facts
  const median = () => view.medians[model.get("scaled") ? 0 : 1][Math.log2(model.get("d_k"))];

  /** A number with a small meter: how much of `full` it is, and a tick where `mark` lies. */
  function fact(name, value, beside, part, mark) {
    const place = (share) => `${100 * within(share, 0, 1)}%`;
    return make("div", {}, make("div", { text: name }),
      make("div", {}, make("b", { class: "rta-mono", text: value }), make("span", { class: "rta-note", text: ` ${beside}` })),
      make("div", { class: "rta-scale-meter", "aria-hidden": "true" }, make("span", { class: "rta-scale-bar", style: `width: ${place(part)}; left: 0` }),
        make("span", { class: "rta-scale-tick", style: `left: ${place(mark)}` })));
  }

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

export default { render };
