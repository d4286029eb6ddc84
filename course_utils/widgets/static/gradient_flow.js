// GradientFlow: the norm of dL/dh_t in a random recurrent net, computed here in doubles; the same maths as
// gradient_flow() in Python, number by number.

const GRID = 2 ** 26;
const LIMITS = { radius: [0.1, 2], length: [2, 200] };
const SMALLEST_FLOAT32 = -45;
const LARGEST_FLOAT32 = 38.5;

/** State and slope of the activation, in place: totals become states. */
const ACTIVATE = {
  identity: (totals, slopes) => { slopes.fill(1); },
  relu: (totals, slopes) => {
    for (let i = 0; i < totals.length; i += 1) {
      slopes[i] = totals[i] > 0 ? 1 : 0;
      totals[i] = Math.max(totals[i], 0);
    }
  },
  // Rounded to 26 binary digits, as in Python: an exploding net would also blow up the last digit of a state.
  tanh: (totals, slopes) => {
    for (let i = 0; i < totals.length; i += 1) {
      totals[i] = Math.floor(Math.tanh(totals[i]) * GRID + 0.5) / GRID;
      slopes[i] = 1 - totals[i] ** 2;
    }
  },
};

/** Euclidean length; scaled first, so that squares of numbers below 1e-154 do not turn into zero. */
function norm(vector) {
  const largest = vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest > 0 ? largest * Math.sqrt(vector.reduce((sum, value) => sum + (value / largest) ** 2, 0)) : 0;
}

/** norms[t - 1] is the norm of dL/dh_t; slope is the activation's slope, averaged over units and steps 2…T. */
function gradientFlow({ recurrent, inputs, readout }, radius, length, activation) {
  const size = readout.length;
  const weights = Float64Array.from(recurrent, (weight) => radius * weight);
  let state = new Float64Array(size);
  const slopes = [];
  for (let step = 0; step < length; step += 1) {
    const next = new Float64Array(size);
    for (let i = 0; i < size; i += 1) {
      let total = 0;
      for (let j = 0; j < size; j += 1) total += weights[i * size + j] * state[j];
      next[i] = total + inputs[step * size + i];
    }
    const slope = new Float64Array(size);
    ACTIVATE[activation](next, slope);
    slopes.push(slope);
    state = next;
  }
  let gradient = Float64Array.from(readout);
  const norms = new Float64Array(length);
  norms[length - 1] = norm(gradient);
  for (let step = length - 1; step > 0; step -= 1) {
    const before = new Float64Array(size);
    for (let i = 0; i < size; i += 1) {
      const part = slopes[step][i] * gradient[i];
      for (let j = 0; j < size; j += 1) before[j] += weights[i * size + j] * part;
    }
    gradient = before;
    norms[step - 1] = norm(gradient);
  }
  const felt = slopes.slice(1).flatMap((slope) => Array.from(slope));
  return { norms, slope: felt.reduce((sum, value) => sum + value, 0) / felt.length };
}

function verdict(value) {
  if (value === 0) return "nothing at all arrives";
  if (value < 1e-3) return "it vanishes";
  if (value > 1e3) return "it explodes";
  return "it survives";
}

/** A range of powers of ten that holds all values and moves in coarse steps, so that a slider does not shake it. */
function axisRange(powers) {
  const finite = powers.filter(Number.isFinite);
  const low = Math.min(-6, 5 * Math.floor(Math.min(...finite) / 5));
  const high = Math.max(6, 5 * Math.ceil(Math.max(...finite) / 5));
  return [low, high];
}

function niceStep(span, most) {
  return [1, 2, 5, 10, 20, 50, 100].find((step) => span / step <= most) ?? 200;
}

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "gradient-flow", title: "Gradient flow" });
  const parts = {};
  for (const name of ["recurrent", "inputs", "readout", "eigenvalues"]) parts[name] = decode(model.get(name)).data;
  const view = { step: 1, predicting: false, revealed: true, guess: 0, result: null };
  const asked = () => ({ radius: model.get("spectral_radius"), length: model.get("length"), activation: model.get("activation") });
  const settings = () => view.settings;      // the last good ones

  // ------------------------------------------------------------ controls
  const put = makeSaver(model);
  const activations = makeSwitch("Activation", [["tanh", "tanh"], ["relu", "relu"], ["identity", "identity"]],
    model.get("activation"), (value) => put("activation", value));
  const modes = makeSwitch("Prediction", [["show", "Show"], ["predict", "Predict first"]], "show", (value) => {
    view.predicting = value === "predict";
    view.revealed = !view.predicting;
    update();
  });
  card.controls.append(activations, modes);
  const radius = makeSlider({ label: "spectral radius ρ", min: LIMITS.radius[0], max: LIMITS.radius[1], step: 0.01,
    value: model.get("spectral_radius"), show: (value) => value.toFixed(2), changed: (value) => put("spectral_radius", value) });
  const length = makeSlider({ label: "length T", min: LIMITS.length[0], max: LIMITS.length[1], step: 1,
    value: model.get("length"), changed: (value) => put("length", value) });
  const guess = makeSlider({ label: "my guess at t = 1", min: -200, max: 60, step: 1, value: 0, show: powerOfTen,
    changed: (value) => { view.guess = value; view.revealed = false; update(); } });
  const reveal = make("button", { type: "button", class: "rta-button rta-primary", text: "Reveal",
    on: { click: () => { view.revealed = true; update(); } } });
  const revealRow = make("div", {}, reveal);
  const sliders = make("div", { class: "rta-wide" }, radius, length, guess, revealRow);

  // ------------------------------------------------------------ pictures
  const legend = make("div", { class: "rta-caption rta-legend" });
  const left = make("div", {}, legend);
  const planeTitle = make("div", { class: "rta-caption" }, "eigenvalues of ", sub("W", "h"));
  const planeBox = make("div", {}, planeTitle);
  const facts = make("div", { class: "rta-note" });
  card.body.append(make("div", { class: "rta-flow" }, sliders, left, make("div", { class: "rta-flow-side" }, planeBox, facts)));
  const chart = makeStage(left, { height: 300, label: "Norm of the gradient against the step", paint: guarded(card, paintChart), signal });
  const plane = makeStage(planeBox, { height: 200, label: "Eigenvalues of W_h", paint: guarded(card, paintPlane), signal });

  const frame = { left: 48, right: 12, top: 8, bottom: 38, height: 300 };
  const toX = (step, width, last) => frame.left + ((step - 1) / Math.max(1, last - 1)) * (width - frame.left - frame.right);

  function paintChart(width) {
    const { radius: rho, length: last } = settings();
    chart.clear(width, frame.height);
    const { norms } = view.result;
    const shown = view.revealed;
    const guessPower = (step) => (last - step) * Math.log10(rho);
    const powers = Array.from(norms, (value) => Math.log10(value));
    const [low, high] = axisRange([guessPower(1), 0, ...(shown ? powers : []), ...(view.predicting ? [view.guess] : [])]);
    const x = (step) => toX(step, width, last);
    const floor = frame.height - frame.bottom;
    const y = (power) => frame.top + ((high - within(power, low, high)) / (high - low)) * (floor - frame.top);
    paintAxes({ width, low, high, last, x, y, floor });
    chart.add("path", { class: "guess", d: `M${x(1)},${y(guessPower(1))}L${x(last)},${y(0)}` });
    if (view.predicting) paintGuess(x(1), y(view.guess), x(last), y(0));
    if (!shown) return;
    paintCurve(powers, x, y, floor);
    const power = powers[view.step - 1];
    chart.add("line", { class: "line", x1: x(view.step), x2: x(view.step), y1: frame.top, y2: floor });
    chart.add("circle", { class: "dot", cx: x(view.step), cy: Number.isFinite(power) ? y(power) : floor, r: 5 });
  }

  function paintAxes({ width, low, high, last, x, y, floor }) {
    const right = width - frame.right;
    const zones = [[high, 3, "explodes: grows more than a thousandfold", y(high) + 15],
      [-3, low, "vanishes: less than a thousandth arrives", floor - 7]];
    for (const [from, to] of zones) {
      chart.add("rect", { class: "zone", x: frame.left, y: y(from), width: right - frame.left, height: y(to) - y(from) });
    }
    // After both bands, so that none covers a label; a band too low for its label goes without.
    for (const [from, to, text, place] of zones) {
      if (y(to) - y(from) >= 20) chart.add("text", { class: "dim small", x: right - 8, y: place, "text-anchor": "end", text });
    }
    const step = niceStep(high - low, 8);
    for (let power = Math.ceil(low / step) * step; power <= high; power += step) {
      chart.add("line", { class: "line", x1: frame.left, x2: right, y1: y(power), y2: y(power) });
      chart.add("text", { class: "dim small", x: frame.left - 8, y: y(power) + 4, "text-anchor": "end", text: power === 0 ? "1" : powerOfTen(power) });
    }
    for (const [power, text, above] of [[SMALLEST_FLOAT32, "float32 holds only 0 below this line", -5],
      [LARGEST_FLOAT32, "float32 holds only ∞ above this line", 14]]) {
      if (power <= low || power >= high) continue;
      chart.add("line", { class: "ink dashed", x1: frame.left, x2: right, y1: y(power), y2: y(power) });
      chart.add("text", { class: "dim small", x: right - 8, y: y(power) + above, "text-anchor": "end", text });
    }
    const every = niceStep(last, width > 520 ? 10 : 5);
    const ticks = [1, ...Array.from({ length: Math.floor(last / every) }, (_, index) => (index + 1) * every), last];
    for (const tick of new Set(ticks)) {
      const crowded = (tick !== 1 && tick !== last) && (x(tick) - x(1) < 20 || x(last) - x(tick) < 34);
      if (tick < 1 || crowded) continue;
      chart.add("text", { class: "dim small", x: x(tick), y: floor + 16, "text-anchor": "middle", text: String(tick) });
    }
    chart.add("text", { class: "dim small", x: frame.left, y: floor + 33, text: "← far from the loss" });
    chart.add("text", { class: "dim small", x: (frame.left + right) / 2, y: floor + 33, "text-anchor": "middle", text: "step t" });
    chart.add("text", { class: "dim small", x: right, y: floor + 33, "text-anchor": "end", text: "the loss reads the last state →" });
  }

  function paintGuess(x1, y1, x2, y2) {
    chart.add("path", { class: "ink dashed", d: `M${x1},${y1}L${x2},${y2}` });
    chart.add("rect", { x: x1 - 5, y: y1 - 5, width: 10, height: 10, transform: `rotate(45 ${x1} ${y1})`, class: "ink", style: "fill: var(--rta-page)" });
    chart.add("text", { class: "strong small", x: x1 + 8, y: y1 < y2 ? y1 - 10 : y1 + 20, text: "my guess" });
  }

  /** The computed curve; a norm of exactly zero has no place on a log axis and is drawn as a ring on its floor. */
  function paintCurve(powers, x, y, floor) {
    let path = "";
    powers.forEach((power, index) => {
      if (Number.isFinite(power)) path += `${path && Number.isFinite(powers[index - 1]) ? "L" : "M"}${x(index + 1)},${y(power)}`;
      else chart.add("circle", { class: "ink", cx: x(index + 1), cy: floor, r: 2.5 });
    });
    chart.add("path", { class: "curve", d: path });
  }

  function paintPlane(width) {
    const side = Math.min(width, 212);
    const { radius: rho } = settings();
    plane.clear(width, side);
    const unit = side / 2 / 2.12;
    const centre = side / 2;
    plane.add("line", { class: "line", x1: 0, x2: side, y1: centre, y2: centre });
    plane.add("line", { class: "line", x1: centre, x2: centre, y1: 0, y2: side });
    plane.add("circle", { class: "ink", cx: centre, cy: centre, r: unit });
    plane.add("circle", { class: "ink dashed", cx: centre, cy: centre, r: unit * rho, style: "stroke: var(--rta-line)" });
    plane.add("text", { class: "dim small", x: centre + unit + 4, y: centre + 14, text: "1" });
    for (let index = 0; index < parts.eigenvalues.length; index += 2) {
      const [real, imaginary] = [rho * parts.eigenvalues[index], rho * parts.eigenvalues[index + 1]];
      const outside = Math.hypot(real, imaginary) > 1;
      plane.add("circle", { class: outside ? "outside" : "inside", cx: centre + unit * real, cy: centre - unit * imaginary, r: 3.5 });
    }
  }

  // ------------------------------------------------------------ what is said
  function say() {
    const { radius: rho, length: last, activation } = settings();
    const { norms, slope } = view.result;
    const remaining = last - view.step;
    const where = [make("b", { text: `t = ${view.step}` }), `, ${remaining} ${remaining === 1 ? "step" : "steps"} before the end: `];
    const guessed = scientific(rho ** remaining);
    if (!view.revealed) {
      card.say(make("b", { text: "Predict:" }), " how large is the gradient at t = 1? Move your guess, then reveal. ",
        make("span", { class: "rta-note" }, "The first guess ρ", make("sup", { text: last - 1 }), ` is ${scientific(rho ** (last - 1))}.`));
    } else {
      const value = norms[view.step - 1];
      const off = Math.abs(Math.log10(norms[0]) - view.guess);
      card.say(...where, "‖∂L/∂", sub("h", view.step), "‖ = ", make("span", { class: "rta-mono", text: scientific(value, 3) }), ", ", make("b", { text: verdict(value) }),
        make("span", { class: "rta-note" }, " · guess ρ", make("sup", { text: last - view.step }), ` = ${guessed}`),
        view.predicting ? make("span", { text: ` · my guess at t = 1 was ${powerOfTen(view.guess)}: ${Number.isFinite(off) ? `${off.toFixed(1)} powers of ten off` : "the gradient there is 0"}` }) : null,
        make("span", { class: "rta-note", text: " · arrow keys move t" }));
    }
    const perStep = norms[0] ** (1 / (last - 1));
    facts.replaceChildren(...(view.revealed ? [
      make("div", {}, "each step back multiplies by"),
      make("div", {}, make("span", { class: "rta-mono", text: fixed(perStep) }), " computed"),
      make("div", {}, make("span", { class: "rta-mono", text: fixed(rho) }), " guessed: ρ alone"),
      make("div", {}, make("span", { class: "rta-mono", text: fixed(slope) }), ` average slope of ${activation}`),
    ] : []));
    legend.replaceChildren(make("b", {}, "‖∂L/∂", sub("h", "t"), "‖"), make("span", {}, legendLine("curve"), view.revealed ? " computed" : " computed: hidden"),
      make("span", {}, legendLine("guess"), " first guess: ρ", make("sup", { text: "T−t" })));
    card.note.replaceChildren(make("i", { text: "L" }), " = ", make("i", { text: "v" }), " · ", sub("h", "T"), ": a loss that reads only the last state");
    chart.stage.setAttribute("aria-label", `Norm of the gradient at step ${view.step}: ${view.revealed ? scientific(norms[view.step - 1], 3) : "hidden"}`);
  }

  const legendLine = (kind) => draw("svg", { width: 24, height: 8 }, draw("path", { class: kind, d: "M0,4L24,4" }));

  // ------------------------------------------------------------ moving
  const update = guarded(card, () => {
    const { radius: rho, length: last, activation } = asked();
    for (const [name, value, [low, high]] of [["spectral_radius", rho, LIMITS.radius], ["length", last, LIMITS.length]]) {
      if (!(value >= low && value <= high)) { card.fail(`${name} = ${value} is not between ${low} and ${high}; the picture shows the last good setting.`); return; }
    }
    card.fail("");
    view.settings = asked();
    view.result = gradientFlow(parts, rho, last, activation);
    view.step = within(view.step, 1, last);
    radius.put(rho);
    length.put(last);
    activations.choose(activation);
    guess.hidden = !view.predicting;
    revealRow.hidden = !view.predicting;
    reveal.disabled = view.revealed;
    chart.redraw();
    plane.redraw();
    say();
  });
  const changed = () => { if (view.predicting) view.revealed = false; update(); };
  for (const name of ["spectral_radius", "length", "activation"]) model.on(`change:${name}`, changed);

  const moveTo = (step) => { view.step = within(step, 1, settings().length); chart.redraw(); say(); };
  roving(chart.stage, { size: () => [1, settings().length], get: () => [0, view.step - 1], move: (_, column) => moveTo(column + 1) });
  const point = (event) => {
    const box = chart.stage.getBoundingClientRect();
    const part = (event.clientX - box.left - frame.left) / (box.width - frame.left - frame.right);
    moveTo(Math.round(1 + part * (settings().length - 1)));
  };
  chart.stage.addEventListener("pointerdown", (event) => { chart.stage.setPointerCapture(event.pointerId); point(event); });
  chart.stage.addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
  card.root.numbers = () => ({ norms: Array.from(view.result.norms), step: view.step });
  update();
}

export default { render };
