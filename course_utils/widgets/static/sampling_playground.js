// SamplingPlayground: a GPT writes on from a prompt. Python reads the text and sends the scores of the next token;
// filters and draws are computed here in doubles, number by number as distribution() and drawn_rank() in Python do.

const SETTINGS = ["temperature", "top_k", "top_p", "penalty", "seed"];
const STOPS = [1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000, 10000, 20000];
const CHART = { left: 44, right: 10, top: 32, floor: 116, lowest: -7, height: 214 };      // pixels; powers of ten
const STRIPS = { before: 156, after: 182, high: 16 };
const COSTS = { left: 44, right: 10, top: 8, floor: 40, height: 57 };
const LISTED = 9;                           // likeliest tokens in the table
const PACE = 250;                           // milliseconds that a written token stays before the next, at the least

// ---------------------------------------------------------------- the draw

/** Powers of e of one row, divided by their sum, which is taken number by number as in Python. */
function softmax(scores) {
  let largest = -Infinity;
  for (const score of scores) if (score > largest) largest = score;
  const powers = Float64Array.from(scores, (score) => Math.exp(score - largest));
  let sum = 0;
  for (const power of powers) sum += power;
  return powers.map((power) => power / sum);
}

/** Ids in rank order, the penalised scores in that order, and the model's own probabilities in that order. */
function ranked(logits, penalty, seen) {
  const scores = Float64Array.from(logits);
  if (penalty !== 1) for (const id of new Set(seen)) scores[id] = scores[id] > 0 ? scores[id] / penalty : scores[id] * penalty;
  const order = Int32Array.from(scores, (_, id) => id).sort((one, other) => scores[other] - scores[one] || one - other);
  const model = softmax(logits);
  return { order, scores: Float64Array.from(order, (id) => scores[id]), model: Float64Array.from(order, (id) => model[id]) };
}

/** What the next token is drawn from; see `Distribution` in Python. by_k, by_p, kept: numbers of tokens. */
function distribution({ order, scores, model }, { temperature, top_k: topK, top_p: topP }) {
  const count = order.length;
  const byK = Math.min(topK ?? count, count);
  if (temperature === 0) {
    const certain = Float64Array.from(order, (_, rank) => (rank === 0 ? 1 : 0));
    return { order, model, before: certain, after: certain, by_k: byK, by_p: 1, kept: 1, mass: 1 };
  }
  const before = softmax(scores.map((score) => score / temperature));
  const sums = new Float64Array(byK);
  let sum = 0;
  for (let rank = 0; rank < byK; rank += 1) { sum += before[rank]; sums[rank] = sum; }
  let byP = byK;
  if (topP < 1) byP = sums.findIndex((mass) => mass >= topP * sum) + 1;
  const kept = Math.min(byK, byP);
  const mass = sums[kept - 1];
  const after = before.map((value, rank) => (rank < kept ? value / mass : 0));
  return { order, model, before, after, by_k: byK, by_p: byP, kept, mass };
}

/** The first rank at which the running sum exceeds the draw; by rounding it may never: then the last that has mass. */
function drawnRank(after, draw) {
  let sum = 0;
  let last = 0;
  for (let rank = 0; rank < after.length && after[rank] > 0; rank += 1) {
    sum += after[rank];
    if (sum > draw) return rank;
    last = rank;
  }
  return last;
}

const whole = (number) => number.toLocaleString("en-US");
const mono = (text, kind = "") => make("span", { class: `rta-mono ${kind}`.trim(), text });
/** A probability with three decimals; what would read 0.000 is told as small. */
const chance = (value) => (value > 0 && value < 0.0005 ? "<.001" : fixed(value, 3));
/** Milliseconds in few characters. */
const inTime = (ms) => `${fixed(ms, ms < 9.95 ? 1 : 0)} ms`;

function render({ model, el, signal }) {
  const { vocabulary, layers, heads, context, end } = model.get("sizes");
  const card = makeCard(el, { kind: "sampling-playground", title: "Sampling playground",
    note: `${whole(vocabulary)} tokens · ${layers} layers · ${heads} heads · context ${whole(context)}` });
  const tokens = model.get("tokens");
  const uniforms = decode(model.get("uniforms"));
  const put = makeSaver(model);
  const token = (id, most = 24) => shortened(legible(tokens[id]), most);
  const view = { answer: null, ids: [], logits: null, ranks: null, found: null, looked: null, costs: { kept: new Map(), full: new Map() } };
  // wanted: tokens still to write; asked: the prompt that was sent, typed: the text of the field whose answer is shown.
  const run = { wanted: 0, waiting: false, timer: null, asked: null, typed: "", again: false };

  const settings = () => Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
  const isFull = () => view.ids.length >= context;
  const uniform = () => uniforms.data[model.get("seed") * uniforms.shape[1] + view.answer.written.length];

  // ------------------------------------------------------------ controls
  const button = (text, click) => make("button", { type: "button", text, on: { click: guarded(card, click) } });
  const back = button("Back", () => { stop(); if (view.answer.written.length) ask(view.answer.written.slice(0, -1)); });
  const running = button("Run", () => (run.wanted ? stop() : start(Infinity)));
  const step = button("Step", () => { if (run.wanted === Infinity) stop(); start(run.wanted + 1); });
  const reset = make("button", { type: "button", class: "rta-button", text: "Reset", on: { click: guarded(card, () => {
    stop();
    [field.value, run.typed] = [view.answer.prompt, view.answer.prompt];
    ask([]);
  }) } });
  card.controls.append(make("span", { class: "rta-switch", role: "group", "aria-label": "Writing" }, back, running, step), reset);

  const field = make("textarea", { rows: 1, spellcheck: "false", autocomplete: "off", "aria-label": "Prompt" });
  const examples = makeExamples(model.get("examples"), (text) => { field.value = text; askPrompt(true); });

  const stops = [...STOPS.filter((stop) => stop < vocabulary), vocabulary];          // the last is "off"
  const nearest = (topK) => (topK === null ? stops.length - 1 : stops.findLastIndex((stop) => stop <= topK));
  const shown = {
    temperature: (value) => (value === 0 ? "0 greedy" : fixed(value, 2)),
    top_k: (place) => (place === stops.length - 1 ? "off" : whole(stops[place])),
    top_p: (value) => (value >= 1 ? "off" : fixed(value, 2)),
    penalty: (value) => (value === 1 ? "off" : fixed(value, 2)),
    seed: String,
  };
  const slider = (name, label, min, max, by, value = (number) => number) => makeSlider({ label, min, max, step: by,
    value: 0, show: shown[name], changed: (number) => put(name, value(number)) });
  const sliders = {
    temperature: slider("temperature", "temperature", 0, 2, 0.05, (number) => Number(number.toFixed(2))),
    top_k: slider("top_k", "top-k", 0, stops.length - 1, 1, (place) => (place === stops.length - 1 ? null : stops[place])),
    top_p: slider("top_p", "top-p", 0.05, 1, 0.01, (number) => Number(number.toFixed(2))),
    penalty: slider("penalty", "penalty", 1, 2, 0.05, (number) => Number(number.toFixed(2))),
    seed: slider("seed", "seed", 0, uniforms.shape[0] - 1, 1),
  };
  sliders.penalty.title = "repetition penalty: tokens that the text already holds become less likely";
  sliders.seed.title = "seed of the draws: the same seed and settings write the same text";
  function putSliders() {
    for (const name of SETTINGS) {
      const value = model.get(name);
      sliders[name].put(name === "top_k" ? nearest(value) : value);
    }
    const topK = model.get("top_k");
    if (topK !== null) {                                   // set in Python, it may lie between two places
      sliders.top_k.querySelector("output").textContent = whole(topK);
      sliders.top_k.input.setAttribute("aria-valuetext", whole(topK));
    }
  }

  // ------------------------------------------------------------ questions
  let dim = null;
  const asker = makeAsker({
    model, signal,
    busy: (busy) => {                                      // a step takes milliseconds: no flicker for those
      card.root.setAttribute("aria-busy", String(busy));
      clearTimeout(dim);
      if (busy) dim = setTimeout(() => card.busy(true), 400);
      else card.busy(false);
    },
    failed: (message) => {
      run.waiting = false;
      if (message) { run.asked = null; stop(); }
      card.fail(message);
    },
    answered: guarded(card, (answer) => {
      run.waiting = false;
      if (run.asked !== null && !answer.written.length) [run.typed, run.asked] = [run.asked, null];
      take(answer);
      if (run.again) { run.again = false; ask(answer.written); } else goOn();
    }),
  });
  function ask(written, prompt = view.answer.prompt) {
    run.waiting = true;
    asker.ask({ prompt, written, cached: model.get("use_cache") }, true);
  }
  function askPrompt(now) {
    stop();
    fitField();
    run.asked = field.value;
    asker.ask({ prompt: field.value, written: [], cached: model.get("use_cache") }, now);
  }
  const fitField = () => { field.rows = within(field.value.split("\n").length, 1, 2); };
  field.addEventListener("input", () => askPrompt(false));
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (event.shiftKey) field.setRangeText("\n", field.selectionStart, field.selectionEnd, "end");      // JupyterLab takes it for its own
    askPrompt(!event.shiftKey);
  });

  // ------------------------------------------------------------ writing
  /** Write so many tokens, one after the other; each waits for the scores that the one before gave. */
  function start(count) {
    run.wanted = count;
    showRunning();
    if (field.value !== run.typed) {                       // typed a moment ago: that prompt goes first
      run.waiting = true;
      run.asked = field.value;
      asker.ask({ prompt: field.value, written: [], cached: model.get("use_cache") }, true);
    } else if (!run.waiting) writeOne();
  }

  function stop() {
    run.wanted = 0;
    clearTimeout(run.timer);
    run.timer = null;
    showRunning();
  }
  signal?.addEventListener("abort", stop);

  function goOn() {
    if (!run.wanted || run.timer !== null) return;
    if (run.wanted === Infinity && end !== null && view.answer.written.at(-1)?.[0] === end) { stop(); return; }
    const pause = run.wanted === Infinity ? (prefersCalm() ? 3 : 1) * PACE : 0;
    run.timer = setTimeout(() => { run.timer = null; if (run.wanted && !run.waiting) writeOne(); }, pause);
  }

  const writeOne = guarded(card, () => {
    if (isFull()) { stop(); say(); return; }
    const { order, model: own, after, rank } = view.found;
    run.wanted -= 1;
    if (!run.wanted) showRunning();
    ask([...view.answer.written, [order[rank], own[rank], after[rank]]]);
  });

  function showRunning() {
    const on = run.wanted === Infinity;
    running.textContent = on ? "Stop" : "Run";
    running.setAttribute("aria-pressed", String(on));
  }

  // ------------------------------------------------------------ layout
  const chips = make("span", { class: "rta-sp-chips" });
  const promptText = make("span", { class: "rta-sp-prompt" });
  const text = make("div", { class: "rta-sp-text", "aria-label": "The text so far" }, promptText, chips);
  const about = make("div", { class: "rta-sp-about" });
  const table = make("div", { class: "rta-sp-table", role: "table", "aria-label": "Likeliest next tokens" });
  const chartBox = make("div", {});
  const legend = make("div", { class: "rta-caption rta-legend" });
  chartBox.append(make("div", { class: "rta-sp-head" }, make("span", {}, make("b", { text: "Next token" }), make("span", { class: "rta-note", text: " probability by rank, before the cut" })), legend));
  const memory = make("div", { class: "rta-sp-memory" });
  const costBox = make("div", {}, make("div", { class: "rta-sp-cost-key" }));
  const keeping = makeSwitch("Use the cache", [["true", "use the cache"], ["false", "no cache"]], String(model.get("use_cache")), (value) => {
    put("use_cache", value === "true");
  });
  card.body.append(
    make("div", { class: "rta-sp-ask" }, make("label", { class: "rta-field" }, "prompt", field), examples),
    card.error,
    text, about,
    make("div", { class: "rta-sp-sliders" }, ...SETTINGS.map((name) => sliders[name])),
    make("div", { class: "rta-sp-main" }, chartBox, table),
    make("div", { class: "rta-sp-costs" }, make("div", {}, make("div", { class: "rta-sp-cache" }, make("b", { text: "KV-cache" }), keeping), memory), costBox),
  );
  const theme = followTheme(card.root, () => chart.redraw(), signal);
  const chart = makeStage(chartBox, { height: CHART.height, label: "Probability of every token by rank", paint: guarded(card, paintChart), signal });
  const costs = makeStage(costBox, { height: COSTS.height, label: "Milliseconds of each step", paint: guarded(card, paintCosts), signal });

  // ------------------------------------------------------------ the text
  function showText() {
    const { prompt, written } = view.answer;
    promptText.replaceChildren(...prompt.split("\n").flatMap((line, number) => [number ? make("br") : null, sentenceText(line, 20000)]).filter((part) => part !== null));
    chips.replaceChildren(...written.map(([id, , after], place) => {
      const shownText = token(id);
      const spaces = shownText.match(/^␣*/)[0];
      return make("span", { class: "rta-sp-chip", data: { place }, style: `--share: ${after}` },
        spaces ? make("span", { class: "rta-sp-space", text: spaces }) : null, shownText.slice(spaces.length));
    }));
    text.scrollTop = text.scrollHeight;
  }

  function showAbout() {
    const { start: read, written } = view.answer;
    const key = (kind, name) => make("span", {}, make("span", { class: `${kind} rta-sp-sample`, style: "--share: 0.5", text: "a" }), ` ${name}`);
    const many = (count) => `${whole(count)} ${count === 1 ? "token" : "tokens"}`;
    about.replaceChildren(key("rta-sp-prompt", `prompt, ${many(read.length)}`), key("rta-sp-chip", `written, ${many(written.length)}; deeper colour: likelier draw`),
      make("span", { class: isFull() ? "rta-sp-full" : "", text: isFull() ? `The context is full: the model reads at most ${whole(context)} tokens. Back takes one away.`
        : `T = ${whole(view.ids.length)} of ${whole(context)}` }));
    back.setAttribute("aria-disabled", String(!written.length));
    for (const one of [running, step]) one.setAttribute("aria-disabled", String(isFull()));
  }

  /** Look at a written token: by mouse, or with the arrow keys. null looks at the next one again. */
  function look(place, byKey = false) {
    view.looked = place;
    for (const chip of chips.children) chip.classList.toggle("rta-sp-looked", Number(chip.dataset.place) === place);
    if (byKey) chips.children[place]?.scrollIntoView({ block: "nearest", inline: "nearest" });
    say();
  }
  const lastPlace = () => view.answer.written.length - 1;
  roving(text, { size: () => [1, Math.max(1, lastPlace() + 1)], get: () => [0, view.looked ?? lastPlace() + 1],
    move: (_, place) => { if (lastPlace() >= 0) look(within(place, 0, lastPlace()), true); } });
  text.addEventListener("pointerover", (event) => {
    const chip = event.target.closest?.("[data-place]");
    if (chip) look(Number(chip.dataset.place));
  });
  text.addEventListener("pointerleave", () => { if (document.activeElement !== text) look(null); });
  text.addEventListener("blur", () => look(null));

  // ------------------------------------------------------------ the table
  function showTable() {
    const { order, model: own, after, rank } = view.found;
    const rows = Array.from({ length: Math.min(LISTED, order.length) }, (_, place) => place);
    const drawn = isFull() ? null : rank;
    const widest = Math.max(...rows.map((place) => Math.max(own[place], after[place])), drawn === null ? 0 : after[drawn]);
    const full = [0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1].find((most) => most >= widest) ?? 1;
    const bar = (value, kind) => make("span", { class: `rta-sp-bar ${kind}`, style: `width: ${Math.min(100, (100 * value) / full)}%` });
    const row = (place) => make("div", { role: "row", class: `rta-sp-row${place === drawn ? " rta-sp-drawn" : ""}${after[place] > 0 ? "" : " rta-sp-dropped"}` },
      make("span", { role: "cell", class: "rta-sp-rank", text: whole(place + 1) }),
      make("span", { role: "rowheader", class: "rta-sp-name", data: { token: order[place] }, text: token(order[place], 18), title: token(order[place], 200) }),
      make("span", { role: "cell", class: "rta-sp-bars", "aria-hidden": "true" }, bar(after[place], "rta-sp-after"), bar(own[place], "rta-sp-own")),
      make("span", { role: "cell", class: "rta-mono rta-sp-number rta-note", text: chance(own[place]) }),
      make("span", { role: "cell", class: "rta-mono rta-sp-number", text: after[place] > 0 ? chance(after[place]) : "–" }));
    const heads = ["rank", "token", "", "model", "drawn from"].map((name) => make("span", { role: "columnheader", class: "rta-note", text: name }));
    const away = drawn !== null && drawn >= rows.length;
    table.replaceChildren(make("div", { role: "row", class: "rta-sp-row rta-sp-heads" }, ...heads), ...rows.map(row),
      away ? row(drawn) : make("div", { class: "rta-sp-row rta-note" }, make("span"), make("span", { class: "rta-sp-more", text: order.length > rows.length ? `… and ${whole(order.length - rows.length)} more` : "" })));
  }

  // ------------------------------------------------------------ the chart
  function showLegend() {
    const { temperature, penalty } = settings();
    const swatch = (kind) => make("span", { class: `rta-sp-swatch ${kind}` });
    const moved = temperature !== 1 || (penalty !== 1 && view.ids.length > 0);
    legend.replaceChildren(make("span", {}, swatch("rta-sp-kept"), ` kept: ${whole(view.found.kept)}`), make("span", {}, swatch("rta-sp-gone"), ` dropped: ${whole(vocabulary - view.found.kept)}`),
      ...(moved ? [make("span", {}, draw("svg", { width: 18, height: 8 }, draw("path", { class: "sp-own", d: "M0,4L18,4" })), " the model’s own")] : []));
  }

  function paintChart(width) {
    const context2d = chart.clear(width, CHART.height);
    const { found } = view;
    const style = getComputedStyle(card.root);
    const colour = (name) => style.getPropertyValue(`--rta-${name}`).trim();
    const right = width - CHART.right;
    const x = (edge) => CHART.left + (Math.log(edge) / Math.log(vocabulary + 1)) * (right - CHART.left);       // the token of rank r spans r … r + 1
    const y = (value) => CHART.top + (Math.max(Math.log10(value), CHART.lowest) / CHART.lowest) * (CHART.floor - CHART.top);
    for (let power = 0; power >= CHART.lowest; power -= 2) {
      chart.add("line", { class: "line", x1: CHART.left, x2: right, y1: y(10 ** power), y2: y(10 ** power) });
      chart.add("text", { class: "dim small", x: CHART.left - 6, y: y(10 ** power) + 4, "text-anchor": "end", text: power ? powerOfTen(power) : "1" });
    }
    for (let rank = 1; rank <= vocabulary; rank *= 10) {
      const middle = (x(rank) + x(rank + 1)) / 2;
      if (middle < right - 70 || rank === 1) chart.add("text", { class: "dim small", x: middle, y: CHART.floor + 15, "text-anchor": "middle", text: whole(rank) });
    }
    chart.add("text", { class: "dim small", x: right, y: CHART.floor + 15, "text-anchor": "end", text: `rank ${whole(vocabulary)}` });
    const steps = (values, from, to) => {
      for (let rank = from; rank < to; rank += 1) {
        context2d.lineTo(x(rank + 1), y(values[rank]));
        context2d.lineTo(x(rank + 2), y(values[rank]));
      }
    };
    const area = (from, to, fill) => {
      if (from >= to) return;
      context2d.beginPath();
      context2d.moveTo(x(from + 1), CHART.floor);
      steps(found.before, from, to);
      context2d.lineTo(x(to + 1), CHART.floor);
      context2d.fillStyle = fill;
      context2d.fill();
    };
    const page = getComputedStyle(card.root).backgroundColor;
    area(0, found.kept, colour("brand"));
    area(found.kept, vocabulary, theme().mask);
    context2d.fillStyle = page;
    for (let edge = 2; edge <= vocabulary && x(edge + 1) - x(edge) > 6; edge += 1) context2d.fillRect(x(edge) - 0.5, CHART.top, 1, CHART.floor - CHART.top);
    const { temperature, penalty } = settings();
    if (temperature !== 1 || penalty !== 1) {
      context2d.beginPath();
      context2d.moveTo(x(1), y(found.model[0]));
      steps(found.model, 0, vocabulary);
      context2d.strokeStyle = colour("ink");
      context2d.lineWidth = 1.25;
      context2d.stroke();
    }
    paintCuts(x, right);
    paintStrips(context2d, width, { colour, page });
  }

  /** The lines of top-k and top-p, each with its name above; the one that decides is drawn through. */
  function paintCuts(x, right) {
    const { found } = view;
    const { temperature, top_k: topK, top_p: topP } = settings();
    if (temperature === 0) {
      chart.add("text", { class: "small", x: x(2) + 6, y: CHART.top - 6, text: "temperature 0: only the likeliest is left" });
      return;
    }
    const cuts = [];
    if (topK !== null) cuts.push({ name: `top-k: ${whole(found.by_k)}`, at: found.by_k });
    if (topP < 1) cuts.push({ name: `top-p ${fixed(topP, 2)}: ${whole(found.by_p)} tokens`, at: found.by_p });
    cuts.sort((one, other) => one.at - other.at);
    const decided = cuts.findIndex(({ at }) => at === found.kept);
    cuts.forEach((cut, row) => {
      cut.place = x(cut.at + 1);
      cut.high = CHART.top - 5 - 15 * row;
      cut.kind = row === decided ? " strong" : "";
      chart.add("line", { class: `mark${row === decided ? "" : " dashed"}`, x1: cut.place, x2: cut.place, y1: cut.high - 9, y2: CHART.floor });
    });
    for (const { name, place, high, kind } of cuts) {      // over the lines
      const turned = place > right - 130;
      chart.add("text", { class: `small sp-cut${kind}`, x: turned ? place - 5 : place + 5, y: high, "text-anchor": turned ? "end" : "start", text: name });
    }
    if (!cuts.length) chart.add("text", { class: "dim small", x: right, y: CHART.top - 6, "text-anchor": "end", text: `no cut-off: all ${whole(vocabulary)} tokens can come` });
  }

  /** Mass from 0 to 1, before the cut and after it, token beside token; the draw points at one of them. */
  function paintStrips(context2d, width, { colour, page }) {
    const { found } = view;
    const left = CHART.left;
    const right = width - CHART.right;
    const at = (mass) => left + mass * (right - left);
    const label = (y, text) => chart.add("text", { class: "dim small", x: left - 6, y, "text-anchor": "end", text });
    chart.add("text", { class: "small", x: 0, y: STRIPS.before - 10 }, draw("tspan", { class: "strong", text: "Probability mass" }), draw("tspan", { class: "dim", text: " from 0 to 1, before the cut and after it" }));
    label(STRIPS.before + 13, "before");
    label(STRIPS.after + 13, "after");
    context2d.fillStyle = theme().mask;
    context2d.fillRect(at(found.mass), STRIPS.before, at(1) - at(found.mass), STRIPS.high);
    const pale = `color-mix(in srgb, ${colour("brand")} 12%, ${page})`;
    chart.add("polygon", { style: `fill: ${pale}`, points: `${at(0)},${STRIPS.before + STRIPS.high} ${at(found.mass)},${STRIPS.before + STRIPS.high} ${at(1)},${STRIPS.after} ${at(0)},${STRIPS.after}` });
    const block = (from, to, y, alpha) => {
      context2d.globalAlpha = alpha;
      context2d.fillRect(from, y, to - from, STRIPS.high);
      context2d.globalAlpha = 1;
    };
    const segments = (values, y, end) => {
      context2d.fillStyle = colour("brand");
      let sum = 0;
      let narrow = null;                                   // from here on tokens are narrower than a pixel
      for (let rank = 0; rank < found.kept; rank += 1) {
        const [from, to] = [at(sum), at(sum + values[rank])];
        sum += values[rank];
        const now = rank === found.rank && !isFull();
        if (to - from < 1) narrow ??= from;
        else block(from, to, y, now ? 1 : rank % 2 ? 0.26 : 0.36);
        if (now && to - from < 2) view.pointed = [from, from + 2];
        else if (now) view.pointed = null;
        if (to - from < 34) continue;                        // room for four characters: fewer say nothing
        const name = shortened(token(found.order[rank]), Math.floor((to - from - 4) / 7.5));
        chart.add("text", { class: `small${now ? " sp-now" : ""}`, x: (from + to) / 2, y: y + 13, "text-anchor": "middle", text: name });
      }
      if (narrow !== null) block(narrow, at(end), y, 0.31);
      if (view.pointed) block(...view.pointed, y, 1);
    };
    view.pointed = null;
    segments(found.before, STRIPS.before, found.mass);
    segments(found.after, STRIPS.after, 1);
    if (isFull()) return;
    const { temperature } = settings();
    if (temperature === 0) return;
    const place = at(uniform());
    chart.add("line", { class: "mark", x1: place, x2: place, y1: STRIPS.after - 3, y2: STRIPS.after + STRIPS.high + 5 });
    chart.add("polygon", { class: "sp-pin", points: `${place},${STRIPS.after + STRIPS.high + 1} ${place - 5},${STRIPS.after + STRIPS.high + 8} ${place + 5},${STRIPS.after + STRIPS.high + 8}` });
    const turned = place > right - 70;
    chart.add("text", { class: "small", x: turned ? place - 9 : place + 9, y: STRIPS.after + STRIPS.high + 14, "text-anchor": turned ? "end" : "start", text: `the draw: ${fixed(uniform(), 3)}` });
  }

  // ------------------------------------------------------------ the cache
  function showMemory() {
    const { cache, read, ms } = view.answer;
    const T = view.ids.length;
    const line = (...nodes) => make("div", {}, ...nodes);
    if (cache === null) {
      memory.replaceChildren(line("Nothing is kept."), line("Last step: all ", make("b", { text: whole(T) }), ` tokens read again in `, make("b", { text: inTime(ms) }), "."));
      return;
    }
    const [, N, H, , size] = cache;
    const count = cache.reduce((product, axis) => product * axis, 1);
    memory.replaceChildren(
      make("div", { class: "rta-sp-count" }, line(make("span", { class: "rta-sp-keys", text: "keys" }), " and ", make("span", { class: "rta-sp-values", text: "values" }), ": 2 × ", make("b", { text: String(N) }), " layers × ",
        make("b", { text: String(H) }), " heads × ", make("b", { text: whole(cache[3]) }), " tokens × ", make("b", { text: String(size) })),
      line(`= ${whole(count)} numbers, `, make("b", { text: `${whole(Math.round((4 * count) / 1000))} kB` }))),
      line("Last step: ", make("b", { text: whole(read) }), read === 1 ? " new token read in " : " tokens read in ", make("b", { text: inTime(ms) }), read === 1 ? "." : " to fill the cache."));
  }

  /** A round number for the end of the axis. A step that a busy machine made slow shall not press the others flat. */
  function axisEnd(times) {
    const sorted = Float64Array.from(times).sort();
    const usual = 1.3 * (sorted[Math.floor(0.85 * (sorted.length - 1))] ?? 0);
    return [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10000].find((end) => end >= usual) ?? usual;
  }

  function paintCosts(width) {
    costs.clear(width, COSTS.height);
    const series = Object.entries(view.costs);
    const most = axisEnd(series.flatMap(([, values]) => [...values.values()]));
    const right = width - COSTS.right;
    const x = (T) => COSTS.left + (T / context) * (right - COSTS.left);
    const y = (ms) => COSTS.floor - (Math.min(ms, most) / most) * (COSTS.floor - COSTS.top);
    for (const ms of [0, most / 2, most]) {
      costs.add("line", { class: "line", x1: COSTS.left, x2: right, y1: y(ms), y2: y(ms) });
      if (ms !== most / 2) costs.add("text", { class: "dim small", x: COSTS.left - 6, y: y(ms) + 4, "text-anchor": "end", text: ms ? `${ms} ms` : "0" });
    }
    costs.add("text", { class: "dim small", x: right, y: COSTS.floor + 15, "text-anchor": "end", text: `T = ${whole(context)}` });
    for (const [name, values] of series.reverse()) {
      for (const [T, ms] of values) {
        if (ms <= most) costs.add("circle", { class: `sp-cost-${name}`, cx: x(T), cy: y(ms), r: 2.5 });
        else costs.add("polygon", { class: `sp-cost-${name}`, points: `${x(T)},${COSTS.top - 5} ${x(T) - 3.5},${COSTS.top + 1} ${x(T) + 3.5},${COSTS.top + 1}` });
      }
    }
    if (!series.some(([, values]) => values.size)) {
      costs.add("text", { class: "dim small", x: (COSTS.left + right) / 2, y: y(most / 2) - 6, "text-anchor": "middle", text: "each step leaves a dot here" });
    }
  }

  function showCosts() {
    const last = (values) => [...values].at(-1);
    const entry = (kind, name, values) => make("span", {}, draw("svg", { width: 10, height: 10 }, draw("circle", { class: kind, cx: 5, cy: 5, r: 3 })), ` ${name}`,
      values.size ? make("b", { text: ` ${inTime(last(values)[1])}` }) : make("span", { class: "rta-note", text: " not yet" }));
    costBox.firstChild.replaceChildren(make("b", { text: "Step time" }), entry("sp-cost-kept", "cache", view.costs.kept), entry("sp-cost-full", "no cache", view.costs.full));
    costs.redraw();
  }

  // ------------------------------------------------------------ what is said
  function say() {
    const { written } = view.answer;
    const name = (id) => make("code", { text: token(id, 40) });
    if (view.looked !== null && written[view.looked]) {
      const [id, own, after] = written[view.looked];
      card.say(make("b", { text: `Token ${view.looked + 1}: ` }), name(id), " had probability ", mono(chance(own)), " in the model and ", mono(chance(after)), " in the draw.");
      return;
    }
    const { order, model: own, after, rank, kept, mass } = view.found;
    if (isFull()) {
      card.say(make("b", { text: "The context is full. " }), `The model has places for ${whole(context)} tokens and no more. Back takes one away, Reset leaves the prompt.`);
      return;
    }
    const ended = end !== null && written.at(-1)?.[0] === end ? [make("b", { text: "The model ended the text. " })] : [];
    const how = model.get("temperature") === 0 ? ["the likeliest token is ", name(order[rank])]
      : ["the draw ", mono(fixed(uniform(), 3)), " falls on ", name(order[rank])];
    card.say(...ended, make("b", { text: "Next token: " }), ...how, `, rank ${whole(rank + 1)}: `, mono(chance(own[rank])), " in the model, ", mono(chance(after[rank])), " in the draw. ",
      `${whole(kept)} of ${whole(vocabulary)} tokens can come: ${fixed(mass, 2)} of the mass.`);
  }

  // ------------------------------------------------------------ changes
  const update = guarded(card, () => {
    const now = settings();
    if (!view.ranks || view.ranks.penalty !== now.penalty) view.ranks = { ...ranked(view.logits, now.penalty, view.ids), penalty: now.penalty };
    view.found = distribution(view.ranks, now);
    view.found.rank = isFull() ? 0 : drawnRank(view.found.after, uniform());
    putSliders();
    showLegend();
    showTable();
    chart.redraw();
    say();
  });

  function take(answer) {
    view.answer = answer;
    view.logits = decode(answer.logits).data;
    view.ids = [...answer.start, ...answer.written.map(([id]) => id)];
    view.ranks = null;
    view.looked = null;
    if (!answer.cached) view.costs.full.set(view.ids.length, answer.ms);
    else if (answer.read === 1) view.costs.kept.set(view.ids.length, answer.ms);
    if (document.activeElement !== field) {                // asked in another view, or by Python
      field.value = answer.prompt;
      run.typed = field.value;
    }
    fitField();
    showText();
    showAbout();
    showMemory();
    update();
    showCosts();
  }

  for (const name of SETTINGS) model.on(`change:${name}`, update);
  model.on("change:use_cache", () => {
    keeping.choose(String(model.get("use_cache")));
    if (run.waiting) run.again = model.get("use_cache") !== view.answer.cached;
    else if (model.get("use_cache") !== view.answer.cached) ask(view.answer.written);
  });
  card.root.numbers = () => {
    const { found, answer } = view;
    return { ...settings(), text: answer.prompt, ids: view.ids, logits: Array.from(view.logits), written: answer.written.map(([id]) => id), chances: answer.written.map(([, own, after]) => [own, after]), order: Array.from(found.order),
      own: Array.from(found.model), before: Array.from(found.before), after: Array.from(found.after), kept: found.kept, by_k: found.by_k, by_p: found.by_p,
      next: isFull() ? null : found.order[found.rank], draw: uniform() ?? null, T: view.ids.length, cache: answer.cache, ms: answer.ms, read: answer.read };
  };
  guarded(card, () => take(model.get("answer")))();
}

export default { render };
