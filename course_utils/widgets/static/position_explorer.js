// PositionExplorer: positional encodings as a heatmap, waves, similarities and clock hands, computed here in doubles; the
// same maths as position_explorer.py, number by number.

const LIMITS = { length: [1, 200], d_model: [2, 256], base: [2, 1e6], shift: [-50, 50] };
const BASES = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000];
const PAPER = 10000;
const MOST_ROWS = 160;                      // of the heatmap: with more, whole rows would fall between two pixels
const KINDS = { sinusoidal: "Sinusoidal", learned: "Learned", none: "None" };

/** ω of every pair, in radians per position. */
const frequencies = (dModel, base) => Array.from({ length: dModel / 2 }, (_, pair) => base ** ((-2 * pair) / dModel));

/** PE(p, 2i) = sin(p ω_i), PE(p, 2i+1) = cos(p ω_i), one row of d_model numbers for each position. */
function sinusoidalTable(length, dModel, base) {
  const turns = frequencies(dModel, base);
  const data = new Float64Array(length * dModel);
  for (let place = 0; place < data.length; place += 2) {
    const angle = Math.floor(place / dModel) * turns[(place % dModel) / 2];
    data[place] = Math.sin(angle);
    data[place + 1] = Math.cos(angle);
  }
  return data;
}

/** PE(position)·PE(q) for every q; with `cosine` divided by both lengths. */
function similarities({ data, length, width }, position, cosine) {
  const dot = (one, other) => {
    let sum = 0;
    for (let d = 0; d < width; d += 1) sum += data[one * width + d] * data[other * width + d];
    return sum;
  };
  return Array.from({ length }, (_, q) => (cosine ? dot(position, q) / Math.max(Math.sqrt(dot(position, position) * dot(q, q)), 1e-300) : dot(position, q)));
}

/** The matrix that takes (sin pω, cos pω) to (sin (p+k)ω, cos (p+k)ω), row by row. */
const rotation = (angle) => [[Math.cos(angle), Math.sin(angle)], [-Math.sin(angle), Math.cos(angle)]];

/** The largest difference between M·PE(p) and PE(p+k), over all positions and all pairs. */
function rotationError({ length, turns }, shift) {
  let most = 0;
  for (const turn of turns) {
    const matrix = rotation(shift * turn);
    for (let p = 0; p < length; p += 1) {
      const [before, after] = [p, p + shift].map((place) => [Math.sin(place * turn), Math.cos(place * turn)]);
      matrix.forEach((row, part) => { most = Math.max(most, Math.abs(row[0] * before[0] + row[1] * before[1] - after[part])); });
    }
  }
  return most;
}

/** 62 832: thousands apart, so that they can be counted. */
const spaced = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
const inPositions = (value) => (value < 100 ? fixed(value, 1) : value < 99999.5 ? spaced(value) : scientific(value, 1));
/** 10 000 or (2·10⁵): a base in few characters, ready to take an exponent. */
const baseName = (base) => {
  const exponent = Math.floor(Math.log10(base) + 1e-9);
  if (base < 99999.5) return spaced(base);
  const mantissa = Number((base / 10 ** exponent).toPrecision(3));
  return `(${mantissa === 1 ? "" : `${mantissa}·`}${powerOfTen(exponent)})`;
};
/** Three decimals, and no minus before a zero. */
const rounded = (value) => fixed(Math.abs(value) < 0.0005 ? 0 : value);
/** Three decimals, or powers of ten where they would show nothing. */
const reading = (value) => (value === 0 || Math.abs(value) >= 0.0005 ? fixed(value) : scientific(value, 1).replace("-", "−"));
const number = (text) => make("span", { class: "rta-mono", text });
const niceStep = (span, most) => [1, 2, 5, 10, 20, 50].find((step) => span / step <= most) ?? 100;

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "position-explorer", title: shortened(model.get("name").split(" ").map(legible).join(" "), 60) });
  const learned = decode(model.get("learned"));
  const hasLearned = learned.shape[0] > 0;
  const view = { now: null, key: "", picture: null, hovered: null };
  const put = makeSaver(model);
  const themeNow = followTheme(card.root, () => { view.picture = null; redraw(); }, signal);

  // ------------------------------------------------------------ controls
  const kinds = makeSwitch("Kind of encoding", Object.entries(KINDS).filter(([kind]) => kind !== "learned" || hasLearned), model.get("kind"), (kind) => put("kind", kind));
  const measures = makeSwitch("Similarity", [["dot", "dot product"], ["cosine", "cosine"]], "dot", (value) => put("cosine", value === "cosine"));
  card.controls.append(measures, kinds);
  const slider = (label, name, [min, max], step = 1, options = {}) => makeSlider({ label, min, max, step, value: model.get(name), changed: (value) => put(name, value), ...options });
  const nearest = (base) => BASES.reduce((best, value, index) => (Math.abs(Math.log(value / base)) < Math.abs(Math.log(BASES[best] / base)) ? index : best), 0);
  const sliders = {
    length: slider("length", "length", LIMITS.length),
    position: slider("position p", "position", [0, 1]),
    d_model: slider("d_model", "d_model", LIMITS.d_model, 2),
    dimension: slider("dimension", "dimension", [0, 1]),
    base: slider("base", "base", [0, BASES.length - 1], 1, { value: nearest(model.get("base")), show: () => spaced(model.get("base")), changed: (index) => put("base", BASES[index]) }),
    shift: slider("shift k", "shift", LIMITS.shift, 1, { show: (value) => fixed(value, 0) }),
  };
  // The browser draws a tick under the slider where the paper's base is.
  const ticks = make("datalist", { id: `rta-base-${Math.random().toString(36).slice(2)}` }, make("option", { value: BASES.indexOf(PAPER) }));
  sliders.base.append(ticks);
  sliders.base.input.setAttribute("list", ticks.id);
  const grid = make("div", { class: "rta-positions-sliders" }, sliders.length, sliders.d_model, sliders.base, sliders.position, sliders.dimension, sliders.shift);

  // ------------------------------------------------------------ pictures
  const left = make("div", {});
  const wavesTitle = make("div", { class: "rta-positions-title" });
  const wavesBox = make("div", {}, wavesTitle);
  const turnTitle = make("div", { class: "rta-positions-title" });
  const turnFacts = make("div", { class: "rta-positions-facts" });
  const circleBox = make("div", {});
  const checked = make("div", {});
  const turnBox = make("div", {}, turnTitle, make("div", { class: "rta-positions-turn" }, circleBox, turnFacts), checked);
  const instead = make("p", { class: "rta-positions-instead" });
  card.body.append(grid, make("div", { class: "rta-positions" }, left, make("div", { class: "rta-positions-side" }, wavesBox, turnBox, instead)));
  const stage = makeStage(left, { height: 392, label: "Encodings, positions from left to right, dimensions from top to bottom", paint: guarded(card, paintLeft), signal });
  const waves = makeStage(wavesBox, { height: 148, label: "Wavelength of every pair", paint: guarded(card, paintWaves), signal });
  const circle = makeStage(circleBox, { height: 144, label: "The pair at p and at p + k on the unit circle", paint: guarded(card, paintCircle), signal });
  const redraw = () => { stage.redraw(); waves.redraw(); circle.redraw(); };

  // The three bands on the left share their axis of positions.
  const frame = { left: 46, right: 10 };
  const HEAT = { title: 14, top: 22, height: 140 };
  const WAVE = { title: 184, top: 196, height: 54 };
  const SAME = { title: 276, top: 288, height: 76 };
  const FLOOR = SAME.top + SAME.height;
  const pitchOf = (width) => (width - frame.left - frame.right) / view.now.length;
  const xOf = (width) => (position) => frame.left + (position + 0.5) * pitchOf(width);

  /** Rows of the heatmap: all dimensions, or the pairs (0, every, 2·every …) where there are too many. */
  function rowsOf({ width }) {
    const every = Math.ceil(width / MOST_ROWS);
    const count = every === 1 ? width : 2 * Math.ceil(width / 2 / every);
    return { every, count, dimension: (row) => Math.min(width - 1, 2 * every * Math.floor(row / 2) + (row % 2)), row: (dimension) => 2 * Math.floor(Math.floor(dimension / 2) / every) + (dimension % 2) };
  }

  function paintLeft(width) {
    const context = stage.clear(width, FLOOR + 28);
    const { now } = view;
    const [x, pitch] = [xOf(width), pitchOf(width)];
    const right = width - frame.right;
    paintTicks(x, pitch, right);
    paintHeat(context, x, pitch, right);
    paintBand(WAVE, curveTitle(), [-now.largest, now.largest], column(now.dimension), { x, pitch, right }, now.partner === null ? null : column(now.partner));
    if (now.kind === "sinusoidal") paintOneWave(x, right);
    paintBand(SAME, similarTitle(), [Math.min(...now.similar), Math.max(...now.similar)], now.similar, { x, pitch, right }, null);
    paintMirror(x);
  }

  function paintTicks(x, pitch, right) {
    const { length, position } = view.now;
    const step = niceStep(length, 10);
    for (let p = 0; p < length; p += step) {
      if (Math.abs(p - position) * pitch < 24 || x(p) > right - 76) continue;
      stage.add("text", { class: "dim small", x: x(p), y: FLOOR + 16, "text-anchor": "middle", text: String(p) });
    }
    const anchor = x(position) > right - 60 ? "end" : "middle";
    stage.add("text", { class: "small strong accent", x: anchor === "end" ? Math.min(right, x(position) + 10) : x(position), y: FLOOR + 16, "text-anchor": anchor, text: `p = ${position}` });
    if (x(position) < right - 96) stage.add("text", { class: "dim small", x: right, y: FLOOR + 16, "text-anchor": "end", text: "position" });
  }

  /** A line of text: what it is, and in grey what is to be seen. */
  function paintTitle(y, name, note) {
    stage.add("text", { x: 0, y }, draw("tspan", { class: "strong", text: name }), draw("tspan", { class: "dim", dx: 8, text: note }));
  }

  function paintHeat(context, x, pitch, right) {
    const { now } = view;
    const { every, count, dimension, row } = rowsOf(now);
    const box = [frame.left, HEAT.top, right - frame.left, HEAT.height];
    view.picture ??= cellPicture({ rows: count, columns: now.length, colour: themeNow().signed,
      value: (place, p) => now.data[p * now.width + dimension(place)] / now.largest });
    paintCells(context, view.picture, themeNow().mask, ...box);
    stage.add("rect", { class: "line", x: box[0], y: box[1], width: box[2], height: box[3] });
    const most = now.largest === 1 ? "1" : scientific(now.largest, 1);
    const colours = now.kind === "none" ? "at every position" : `blue −${most}, orange ${most}${every > 1 ? `; 1 pair in ${every} is drawn` : ""}`;
    paintTitle(HEAT.title, { sinusoidal: "Column p is the vector PE(p)", learned: "Column p is the trained vector PE(p)", none: "No encoding: zeros are added" }[now.kind], colours);
    const high = HEAT.height / count;
    const top = HEAT.top + row(now.dimension) * high;
    const labels = [[0, HEAT.top + 9], [now.width - 1, HEAT.top + HEAT.height - 1]].filter(([label, y]) => label !== now.dimension && Math.abs(y - top - high / 2 - 4) > 14);
    for (const [label, y] of labels) stage.add("text", { class: "dim small", x: frame.left - 6, y, "text-anchor": "end", text: String(label) });
    stage.add("text", { class: "small strong", x: frame.left - 6, y: within(top + high / 2 + 4, HEAT.top + 9, HEAT.top + HEAT.height - 1), "text-anchor": "end", text: String(now.dimension) });
    if (HEAT.top + HEAT.height / 2 - top > 40 || top - HEAT.top - HEAT.height / 2 > 40) {
      stage.add("text", { class: "dim small", transform: `translate(12 ${HEAT.top + HEAT.height / 2}) rotate(-90)`, "text-anchor": "middle", text: "dimension" });
    }
    stage.add("rect", { class: "mark", x: frame.left, y: top - 0.5, width: right - frame.left, height: Math.max(3, high + 1) });
    stage.add("rect", { class: "brand", x: x(now.position) - pitch / 2 - 1, y: HEAT.top - 1, width: pitch + 2, height: HEAT.height + 2, rx: 2 });
  }

  const column = (dimension) => Array.from({ length: view.now.length }, (_, p) => view.now.data[p * view.now.width + dimension]);
  const pathOf = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x},${y}`).join("");

  /** Values against positions: dots where there is room, and the other dimension of the pair as a dashed line. */
  function paintBand(band, [name, note], [low, high], values, { x, pitch, right }, partner) {
    const y = (value) => band.top + band.height * (high === low ? 0.5 : (high - value) / (high - low));
    paintTitle(band.title, name, note);
    stage.add("rect", { class: "zone", x: frame.left, y: band.top - 4, width: right - frame.left, height: band.height + 8 });
    const zero = low <= 0 && high >= 0 && (high === low || Math.min(y(0) - y(high), y(low) - y(0)) > 16);
    for (const value of new Set([low, ...(zero ? [0] : []), high])) {
      stage.add("line", { class: "line", x1: frame.left, x2: right, y1: y(value), y2: y(value) });
      stage.add("text", { class: "dim small", x: frame.left - 6, y: y(value) + 4, "text-anchor": "end", text: value === 0 ? "0" : shortNumber(value) });
    }
    stage.add("line", { class: "brand thin", x1: x(view.now.position), x2: x(view.now.position), y1: band.top - 4, y2: band.top + band.height + 4 });
    if (partner) stage.add("path", { class: "guess", d: pathOf(partner.map((value, p) => [x(p), y(value)])) });
    stage.add("path", { class: "curve", d: pathOf(values.map((value, p) => [x(p), y(value)])) });
    if (pitch >= 5) values.forEach((value, p) => stage.add("circle", { class: "dot", cx: x(p), cy: y(value), r: 2.5 }));
    stage.add("circle", { class: "dot", cx: x(view.now.position), cy: y(values[view.now.position]), r: 5 });
    band.y = y;
  }
  const shortNumber = (value) => {
    const size = Math.abs(value);
    if ((value === 0 || size >= 0.5) && Math.abs(value - Math.round(value)) < 1e-9) return fixed(Math.round(value), 0);
    return size >= 0.0005 ? fixed(value, size >= 1 ? 1 : size >= 0.1 ? 2 : 3) : scientific(value, 0).replace("-", "−");
  };

  /** A bracket as long as one wave, from position 0. */
  function paintOneWave(x, right) {
    const { wave } = view.now;
    const end = x(wave);
    const y = WAVE.top - 3;
    stage.add("path", { class: "mark", d: `M${x(0)},${y + 6}V${y}H${Math.min(end, right)}${end <= right ? `V${y + 6}` : ""}` });
  }

  /** p + k and p − k: the same height wherever the distance alone counts. */
  function paintMirror(x) {
    const { similar, position, shift, kind } = view.now;
    const both = [position + shift, position - shift].filter((q) => q in similar && shift !== 0);
    if (kind === "sinusoidal" && both.length === 2) {
      stage.add("line", { class: "mark dashed", x1: x(both[0]), x2: x(both[1]), y1: SAME.y(similar[both[0]]), y2: SAME.y(similar[both[1]]) });
    }
    for (const q of both) stage.add("circle", { class: "ring", cx: x(q), cy: SAME.y(similar[q]), r: 4.5 });
  }

  // ------------------------------------------------------------ titles that say what is seen
  const partName = () => (view.now.dimension % 2 ? "cosine" : "sine");

  function curveTitle() {
    const { kind, dimension, pair, wave, length } = view.now;
    if (kind !== "sinusoidal") return [`Dimension ${dimension}`, kind === "none" ? "zero at every position" : "trained values: no formula behind them"];
    const turns = length / wave;
    const seen = turns >= 0.995 || turns < 0.005 ? "" : `, ${fixed(turns, 2)} of it seen`;
    return [`Dimension ${dimension}: ${partName()} of pair ${pair}`, `a wave of ${inPositions(wave)} positions${seen}`];
  }

  function similarTitle() {
    const { kind, position, shift, similar, cosine } = view.now;
    const name = cosine ? `cos(PE(${position}), PE(q))` : `PE(${position}) · PE(q)`;
    if (kind === "none") return [name, "0 for every q: attention cannot tell positions apart"];
    const both = [position - shift, position + shift];
    if (shift === 0 || !both.every((q) => q in similar)) return [name, kind === "sinusoidal" ? "only the distance |q − p| counts" : "whatever training made of it"];
    const values = both.map((q) => shortNumber(similar[q]));
    return kind === "sinusoidal" ? [name, `q = ${both[0]} and ${both[1]} both give ${values[0]}: distance, not direction`]
      : [name, `q = ${both[0]} gives ${values[0]}, q = ${both[1]} gives ${values[1]}`];
  }

  // ------------------------------------------------------------ wavelengths
  const waveFrame = { left: 40, right: 12, top: 8, bottom: 34, height: 148 };

  function paintWaves(width) {
    const { now } = view;
    if (now.kind !== "sinusoidal") return;
    waves.clear(width, waveFrame.height);
    const floor = waveFrame.height - waveFrame.bottom;
    const ends = [2 * Math.PI, 2 * Math.PI * now.base].map(Math.log10);
    const [low, high] = [0, Math.ceil(ends[1] + 0.1)];
    const x = (pair) => waveFrame.left + 8 + (pair / Math.max(1, now.waves.length - 1)) * (width - waveFrame.left - waveFrame.right - 16);
    const y = (power) => waveFrame.top + ((high - power) / (high - low)) * (floor - waveFrame.top);
    const right = width - waveFrame.right;
    // Waves above this line are longer than the sequence: they never come round.
    const own = Math.log10(Math.max(1, now.length));
    if (own < high) waves.add("rect", { class: "zone", x: waveFrame.left, y: y(high), width: right - waveFrame.left, height: y(own) - y(high) });
    if (y(own) - y(high) > 44) waves.add("text", { class: "dim small", x: right - 6, y: y(own) - 6, "text-anchor": "end", text: `longer than ${now.length}` });
    for (let power = low; power <= high; power += Math.ceil((high - low) / 5)) {
      waves.add("line", { class: "line", x1: waveFrame.left, x2: right, y1: y(power), y2: y(power) });
      waves.add("text", { class: "dim small", x: waveFrame.left - 6, y: y(power) + 4, "text-anchor": "end", text: powerOfTen(power) });
    }
    // Each limit has its name on the side where there is room.
    const underLow = y(ends[0]) + 16 < floor;
    const overHigh = y(ends[1]) - 18 > waveFrame.top;
    for (const power of ends) waves.add("line", { class: "guess", x1: waveFrame.left, x2: right, y1: y(power), y2: y(power) });
    waves.add("text", { class: "dim small", x: right - 2, y: y(ends[0]) + (underLow ? 14 : -5), "text-anchor": "end", text: "2π" });
    waves.add("text", { class: "dim small", x: waveFrame.left + 6, y: y(ends[1]) + (overHigh ? -5 : 15), text: `base·2π = ${spaced(2 * Math.PI * now.base)}` });
    if (now.waves.length > 1) waves.add("path", { class: "curve", d: pathOf(now.waves.map((wave, pair) => [x(pair), y(Math.log10(wave))])) });
    if (now.waves.length <= 40) now.waves.forEach((wave, pair) => waves.add("circle", { class: "dot", cx: x(pair), cy: y(Math.log10(wave)), r: 2.5 }));
    waves.add("circle", { class: "dot", cx: x(now.pair), cy: y(Math.log10(now.wave)), r: 5 });
    const last = now.waves.length - 1;
    for (const pair of new Set([0, last])) waves.add("text", { class: "dim small", x: x(pair), y: floor + 15, "text-anchor": "middle", text: String(pair) });
    waves.add("text", { class: "dim small", x: (waveFrame.left + right) / 2, y: floor + 31, "text-anchor": "middle", text: "pair i (dimensions 2i and 2i + 1)" });
    if (now.pair !== 0 && now.pair !== last && x(now.pair) - x(0) > 22 && x(last) - x(now.pair) > 26) {
      waves.add("text", { class: "small strong", x: x(now.pair), y: floor + 15, "text-anchor": "middle", text: String(now.pair) });
    }
    waves.x = x;
  }

  // ------------------------------------------------------------ the pair as a clock hand
  function paintCircle(width) {
    const { now } = view;
    if (now.kind !== "sinusoidal") return;
    const side = Math.min(width, 144);
    circle.clear(width, side);
    const centre = side / 2;
    const radius = centre - 22;
    const at = (angle, part = 1) => [centre + part * radius * Math.sin(angle), centre - part * radius * Math.cos(angle)];
    circle.add("circle", { class: "line", cx: centre, cy: centre, r: radius });
    circle.add("line", { class: "line", x1: centre - radius, x2: centre + radius, y1: centre, y2: centre });
    circle.add("line", { class: "line", x1: centre, x2: centre, y1: centre - radius, y2: centre + radius });
    const [from, by] = [now.position * now.turn, now.shift * now.turn];
    // The names of the axes stand at their far ends, away from the hands.
    const [toRight, toTop] = [Math.sin(from) + Math.sin(from + by) < 0, Math.cos(from) + Math.cos(from + by) < 0];
    circle.add("text", { class: "dim small", x: centre + (toRight ? radius - 4 : 4 - radius), y: centre + (toTop ? 14 : -5), "text-anchor": toRight ? "end" : "start", text: "sin" });
    circle.add("text", { class: "dim small", x: centre + (toRight ? -5 : 5), y: centre + (toTop ? 15 - radius : radius - 6), "text-anchor": toRight ? "end" : "start", text: "cos" });
    const names = [[from, `${now.position}`, "accent"], [from + by, `${now.position + now.shift}`, ""]];
    paintArc(from, by, at, centre);
    for (const [index, [angle, , colour]] of names.entries()) {
      const [x2, y2] = at(angle);
      circle.add("line", { class: index ? "mark dashed" : "brand", x1: centre, y1: centre, x2, y2 });
      circle.add("circle", { class: index ? "ring" : "dot", cx: x2, cy: y2, r: 4.5, data: { hand: colour || "shifted" } });
    }
    const [one, other] = names.map(([angle]) => at(angle, 1 + 14 / radius));
    const close = Math.hypot(one[0] - other[0], one[1] - other[1]) < 20;
    for (const [index, [angle, text, colour]] of names.entries()) {
      if (index && close) continue;
      const [x, y] = at(angle, 1 + 13 / radius);
      circle.add("text", { class: `small strong ${colour}`, x: within(x, 9, side - 9), y: y + 4, "text-anchor": "middle", text });
    }
  }

  /** The arc from p to p + k, whole turns left out, with a tip. */
  function paintArc(from, by, at, centre) {
    const rest = by % (2 * Math.PI);
    if (Math.abs(rest) < 0.02) return;
    const part = 0.45;
    const steps = Array.from({ length: 41 }, (_, step) => at(from + (rest * step) / 40, part));
    circle.add("path", { class: "ink", d: pathOf(steps.slice(0, 40)) });
    if (Math.abs(rest) > 0.25) arrow(circle.add, steps[38], steps[40]);
    if (Math.abs(rest) > 0.6) {
      const [x, y] = at(from + rest / 2, part + 0.2);
      circle.add("text", { class: "dim small", x, y: y + 4, "text-anchor": "middle", text: "kω" });
    }
    circle.add("circle", { class: "tip", cx: centre, cy: centre, r: 2 });
  }

  function showTurn() {
    const { now } = view;
    const is = now.kind === "sinusoidal";
    wavesBox.hidden = !is;
    turnBox.hidden = !is;
    instead.hidden = is;
    measures.hidden = now.kind !== "learned";
    instead.replaceChildren(...(now.kind === "learned" ? [
      make("b", { text: "No wavelengths, no rotation. " }), "Each position has a row of its own, found by training. No formula ties row p + k to row p: a shift by k has no matrix that fits every p.",
      make("br"), make("br"), `The table ends at position ${learned.shape[0] - 1}. For a longer text there is no row.`,
    ] : [make("b", { text: "No wavelengths, no rotation: " }), "nothing is added to the words. Two texts with the same words in another order are then one and the same set to attention without a mask."]));
    if (!is) return;
    wavesTitle.replaceChildren(make("b", { text: `Wave of pair ${now.pair}` }), make("span", { class: "rta-note" }, ` 2π·${baseName(now.base)}`,
      make("sup", { text: `2·${now.pair}/${now.width}` }), ` = ${inPositions(now.wave)}`));
    turnTitle.replaceChildren(make("b", { text: `Pair ${now.pair} is a clock hand` }), make("span", { class: "rta-note", text: ` (sin pω, cos pω)` }));
    const angle = now.shift * now.turn;
    const degrees = (180 * angle) / Math.PI;
    const turned = angle !== 0 && Math.abs(degrees) < 0.05 ? "close to 0°" : Math.abs(angle) >= 2 * Math.PI ? `${fixed(angle / (2 * Math.PI), 2)} turns` : `${fixed(degrees, 1)}°`;
    turnFacts.replaceChildren(
      make("div", {}, "ω = ", make("span", { class: "rta-mono", text: reading(now.turn) }), make("span", { class: "rta-note", text: " rad" })),
      make("div", {}, "kω = ", make("b", { class: "rta-mono", text: reading(angle) }), make("span", { class: "rta-note", text: ` ${turned}` })),
      make("div", { class: "rta-positions-matrix" }, make("span", { text: "M =" }), make("span", { class: "rta-matrix", role: "img", "aria-label": `matrix ${now.matrix.map((row) => row.map((value) => fixed(value)).join(", ")).join("; ")}` },
        ...["cos kω", "sin kω", "−sin kω", "cos kω"].map((name, place) => make("span", { title: name, class: "rta-mono", text: rounded(now.matrix[Math.floor(place / 2)][place % 2]) })))),
    );
    checked.replaceChildren(make("div", { text: "M · PE(p) = PE(p + k) for every p" }),
      make("div", { class: "rta-note", text: `largest difference ${scientific(now.error, 0)}` }));
    circle.stage.setAttribute("aria-label", `Pair ${now.pair}: the hand turns by ${reading(angle)} radians from position ${now.position} to ${now.position + now.shift}`);
  }

  // ------------------------------------------------------------ what is said
  function say(position, dimension, looking = false) {
    const { now } = view;
    const value = now.data[position * now.width + dimension];
    const pair = now.kind === "sinusoidal" ? ` (pair ${Math.floor(dimension / 2)}, ${dimension % 2 ? "cosine" : "sine"})` : "";
    card.say(make("b", { text: `position ${position}, dimension ${dimension}` }), `${pair}: `, number(reading(value)),
      ...(looking ? [] : [" · ", `${now.cosine ? "cosine" : "dot product"} with position ${now.position + now.shift}: `, now.position + now.shift in now.similar ? number(reading(now.similar[now.position + now.shift])) : "past the end"]),
      make("span", { class: "rta-note", text: looking ? " · click to choose" : " · arrow keys move" }));
  }

  // ------------------------------------------------------------ changes
  /** What the traits ask for, made to fit: a learned table has its own sizes, and positions end. */
  function settle() {
    const kind = model.get("kind") === "learned" && !hasLearned ? "sinusoidal" : model.get("kind");
    const most = kind === "learned" ? learned.shape[0] : LIMITS.length[1];
    const [length, width] = [Math.min(model.get("length"), most), kind === "learned" ? learned.shape[1] : model.get("d_model")];
    const base = model.get("base");
    if (!(length >= 1 && width >= 1 && width <= LIMITS.d_model[1] && base >= LIMITS.base[0] && base <= LIMITS.base[1]) || (kind !== "learned" && width % 2)) {
      throw new Error(`length ${length}, d_model ${width}, base ${base} do not go together`);
    }
    const key = [kind, length, width, base].join();
    if (key !== view.key) {
      const data = kind === "sinusoidal" ? sinusoidalTable(length, width, base) : kind === "learned" ? Float64Array.from(learned.data.subarray(0, length * width)) : new Float64Array(length * width);
      const largest = kind === "learned" ? data.reduce((top, value) => Math.max(top, Math.abs(value)), 0) || 1 : 1;
      const turns = kind === "sinusoidal" ? frequencies(width, base) : [];
      view.now = { data, largest, turns, waves: turns.map((turn) => (2 * Math.PI) / turn) };
      view.picture = null;
      view.key = key;
    }
    frame.left = kind === "learned" ? 62 : 46;       // trained numbers may be small, and their labels long
    const position = within(model.get("position"), 0, length - 1);
    const dimension = within(model.get("dimension"), 0, width - 1);
    const pair = Math.floor(dimension / 2);
    const { turns, waves: all } = view.now;
    const now = { ...view.now, kind, length, width, base, position, dimension, pair, most, shift: model.get("shift"), cosine: kind === "learned" && model.get("cosine"),
      turn: turns[pair], wave: all[pair], partner: kind === "sinusoidal" ? dimension + (dimension % 2 ? -1 : 1) : null };
    now.similar = similarities(now, position, now.cosine);
    if (kind === "sinusoidal") Object.assign(now, { matrix: rotation(now.shift * now.turn), error: rotationError(now, now.shift) });
    return now;
  }

  function showSliders() {
    const { now } = view;
    const ends = { length: now.most, position: now.length - 1, dimension: now.width - 1 };
    for (const [name, end] of Object.entries(ends)) sliders[name].input.max = end;
    const values = { length: now.length, position: now.position, d_model: now.width, dimension: now.dimension, base: nearest(now.base), shift: now.shift };
    for (const [name, value] of Object.entries(values)) sliders[name].put(value);
    sliders.d_model.input.disabled = now.kind === "learned";
    for (const part of [sliders.base.input, sliders.shift.input]) part.disabled = now.kind !== "sinusoidal";
    sliders.shift.input.disabled = now.kind === "none";
    kinds.choose(now.kind);
    measures.choose(now.cosine ? "cosine" : "dot");
    const what = { sinusoidal: `${now.waves.length} ${now.waves.length === 1 ? "pair" : "pairs"} of sine and cosine`, learned: `a trained row for each of ${learned.shape[0]} positions`, none: "attention sees a set of words" };
    card.note.textContent = what[now.kind];
  }

  const update = guarded(card, () => {
    view.now = settle();
    card.fail("");
    showSliders();
    showTurn();
    redraw();
    say(view.now.position, view.now.dimension);
  });
  for (const name of ["length", "d_model", "base", "kind", "position", "dimension", "shift", "cosine"]) model.on(`change:${name}`, update);

  const moveTo = (position, dimension) => {
    if (dimension !== view.now.dimension) put("dimension", dimension);
    if (position !== view.now.position) put("position", position);
  };
  roving(stage.stage, { size: () => [view.now.width, view.now.length], get: () => [view.now.dimension, view.now.position], move: (dimension, position) => moveTo(position, dimension) });

  /** Position and dimension under the pointer; below the heatmap the dimension stays. */
  function under(event) {
    const box = stage.stage.getBoundingClientRect();
    const position = within(Math.floor((event.clientX - box.left - frame.left) / pitchOf(box.width)), 0, view.now.length - 1);
    const { count, dimension } = rowsOf(view.now);
    const row = Math.floor(((event.clientY - box.top - HEAT.top) / HEAT.height) * count);
    return [position, row >= 0 && row < count ? dimension(row) : view.now.dimension];
  }
  stage.stage.addEventListener("pointerdown", (event) => { stage.stage.setPointerCapture(event.pointerId); moveTo(...under(event)); });
  stage.stage.addEventListener("pointermove", (event) => { if (event.buttons) moveTo(...under(event)); else say(...under(event), true); });
  stage.stage.addEventListener("pointerleave", () => say(view.now.position, view.now.dimension));
  waves.stage.addEventListener("pointerdown", (event) => {
    const box = waves.stage.getBoundingClientRect();
    const inner = box.width - waveFrame.left - waveFrame.right - 16;
    const pair = within(Math.round(((event.clientX - box.left - waveFrame.left - 8) / inner) * (view.now.waves.length - 1)), 0, view.now.waves.length - 1);
    moveTo(view.now.position, 2 * pair + (view.now.dimension % 2));
  });
  card.root.numbers = () => {
    const { kind, length, width, base, position, dimension, shift, cosine, pair, data, similar, waves: all, matrix, error } = view.now;
    return { kind, length, d_model: width, base, position, dimension, shift, cosine, pair, table: Array.from(data), similar, waves: all, matrix, error };
  };
  update();
}

export default { render };
