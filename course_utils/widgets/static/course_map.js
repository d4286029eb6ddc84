// CourseMap: the chapters as stops on a path, and below it what is left to do in one of them. A stop is a link; in
// JupyterLab it opens the notebook in a tab.

/** A sentence as it goes on after "but": a small first letter, unless it begins with a name such as RNN. */
const lowered = (text) => (/^[A-Z](?![A-Z])/.test(text) ? text[0].toLowerCase() + text.slice(1) : text);

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "course-map", title: "The path", note: "each step solves a problem and leaves a new one" });
  const chapters = model.get("chapters").map((chapter) => ({ ...chapter }));     // fresh progress is written into these
  const stops = new Map();
  let told = null;
  let chosen = null;                                   // the number of the chapter whose rest is listed, if the reader chose one
  const neighbours = makeNeighbours(card, model.get("folder"));

  function progressOf(chapter) {
    if (!chapter.exists) return "to come";
    const parts = [];
    if (chapter.exercises) parts.push(`${chapter.passed} of ${chapter.exercises} exercises`);
    if (chapter.questions) parts.push(`${chapter.answered} of ${chapter.questions} questions`);
    return parts.join(" · ") || "open";
  }

  /** What is done of what there is, exercises and questions together. */
  function done(chapter) {
    const all = chapter.exists ? chapter.exercises + chapter.questions : 0;
    return [Math.min(chapter.passed, chapter.exercises) + Math.min(chapter.answered, chapter.questions), all];
  }

  function status(chapter) {
    const [some, all] = done(chapter);
    if (!chapter.exists) return "to come";
    if (all === 0 || some === 0) return "open";
    return some === all ? "done" : `${some} of ${all}`;
  }

  function track(chapter) {
    const [some, all] = done(chapter);
    return all ? [make("span", { class: "rta-track" }, make("span", { style: `width: ${(100 * some) / all}%` }))] : [];
  }

  function say(chapter) {
    told = chapter;
    card.say(make("b", { text: `${chapter.number} ${shortened(chapter.title, 60)}` }), ` · ${progressOf(chapter)}`,
      chapter.exists ? make("span", { class: "rta-note", text: ` · Enter or a click opens ${shortened(neighbours.path(chapter.file), 60)} · arrow keys move` }) : null);
  }

  function makeStop(chapter) {
    const options = { class: `rta-stop ${chapter.exists ? "" : "rta-to-come"}`.trim(), data: { number: chapter.number, exists: String(chapter.exists) }, tabindex: -1,
      on: { focus: () => say(chapter), pointerenter: () => say(chapter) } };
    const parts = [
      make("div", { class: "rta-stop-name" }, make("span", { class: "rta-mono", text: chapter.number }), make("b", { text: shortened(chapter.title, 60) }),
        make("span", { class: "rta-note", lang: "ko", text: shortened(chapter.title_ko, 40) }),
        make("span", { class: "rta-status" })),
      chapter.solves ? make("p", {}, ...withCode(shortened(chapter.solves, 160))) : null,
      chapter.leaves ? make("p", { class: "rta-leaves" }, "but ", ...withCode(lowered(shortened(chapter.leaves, 160)))) : null,
    ];
    const stop = chapter.exists ? neighbours.link(chapter.file, "", options, ...parts) : make("div", options, ...parts);
    stops.set(chapter.number, stop);
    return stop;
  }

  // ------------------------------------------------------------ the lines between the stops
  const lines = draw("svg", { "aria-hidden": "true" });
  const map = make("div", { class: "rta-map" }, lines, ...chapters.map(makeStop));
  const total = make("span", { class: "rta-note rta-mono" });
  card.controls.append(total);
  const chooser = make("select", { "aria-label": "What is left in", on: { change: () => { chosen = chooser.value; showLeft(); } } },
    ...chapters.filter(({ exists }) => exists).map(({ number, title }) => make("option", { value: number, text: `${number} ${shortened(title, 40)}` })));
  const left = make("span", { class: "rta-left-list" });
  card.body.append(map, make("div", { class: "rta-left" }, make("label", { class: "rta-left-name" }, make("span", { text: "What is left in " }), chooser), left));

  // ------------------------------------------------------------ one tab stop; arrow keys walk over the map as it lies now
  const order = [...stops.values()];
  if (order.length) order[0].tabIndex = 0;
  map.addEventListener("focusin", ({ target }) => { for (const stop of order) stop.tabIndex = stop === target ? 0 : -1; });
  map.addEventListener("keydown", (event) => {
    const here = order.indexOf(event.target);
    const columns = order.filter((stop) => stop.offsetTop === order[0].offsetTop).length;
    const next = { ArrowLeft: here - 1, ArrowRight: here + 1, ArrowUp: here - columns, ArrowDown: here + columns, Home: 0, End: order.length - 1 }[event.key];
    if (next === undefined || here < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    order[next]?.focus();
  });
  const add = (tag, options) => lines.appendChild(draw(tag, options));

  function box(number) {
    const stop = stops.get(number);
    return stop && { left: stop.offsetLeft, top: stop.offsetTop, right: stop.offsetLeft + stop.offsetWidth, bottom: stop.offsetTop + stop.offsetHeight,
      middle: stop.offsetLeft + stop.offsetWidth / 2 };
  }

  const tip = (x, y, down) => add("polygon", { class: "tip", points: `${x},${y} ${x - 3},${y - 7 * down} ${x + 3},${y - 7 * down}` });

  /** Neighbours: a straight arrow. Farther along the same row: below the row. Otherwise down, across, and down again. */
  function paintLine(from, to) {
    const sameRow = Math.abs(from.top - to.top) < 4;
    if (sameRow && to.left > from.right && to.left - from.right < 60) {
      arrow(add, [from.right, from.top + 20], [to.left, to.top + 20]);
    } else if (sameRow) {
      const gap = Math.max(from.bottom, to.bottom) + 14;
      add("path", { class: "ink", d: `M${from.middle},${from.bottom}V${gap}H${to.middle}V${to.bottom + 5}` });
      tip(to.middle, to.bottom, -1);
    } else {
      // Past whole rows the line runs along the left edge, where no stop is in the way, at heights of its own.
      const far = to.top - from.bottom > 60;
      const across = far ? `V${from.bottom + 5}H-8V${to.top - 10}` : `V${to.top - 10}`;
      add("path", { class: "ink", d: `M${from.middle},${from.bottom}${across}H${to.middle}V${to.top - 5}` });
      tip(to.middle, to.top, 1);
    }
  }

  function paintLines() {
    lines.replaceChildren();
    lines.setAttribute("width", map.clientWidth);
    lines.setAttribute("height", map.clientHeight);
    for (const chapter of chapters) {
      const [from, to] = [box(chapter.after), box(chapter.number)];
      if (from && to) paintLine(from, to);
    }
  }

  const observer = new ResizeObserver(guarded(card, paintLines));
  observer.observe(map);
  signal?.addEventListener("abort", () => observer.disconnect());

  // ------------------------------------------------------------ progress
  /** Where the reader is: the last chapter begun and not finished, or else the first that is not finished. */
  function current() {
    const unfinished = chapters.filter((chapter) => chapter.exists && done(chapter)[0] < done(chapter)[1]);
    return unfinished.findLast((chapter) => done(chapter)[0] > 0) ?? unfinished[0];
  }

  /** Exercises not passed and quizzes not answered in one chapter, as links to their cells. */
  function showLeft() {
    const chapter = chapters.find(({ number, exists }) => exists && number === chosen) ?? current() ?? chapters.find(({ exists }) => exists);
    if (!chapter) { left.replaceChildren(); return; }
    chooser.value = chapter.number;
    const exercises = (chapter.todo ?? []).map(({ id, title, cell }, place) =>           // titles of the next three; the rest would fill the card
      neighbours.link(chapter.file, cell, { title }, make("span", { class: "rta-mono", text: id }), place < 3 ? ` ${shortened(title, 40)}` : null));
    const quizzes = (chapter.quizzes ?? []).filter(() => chapter.answered < chapter.questions).map(({ name, cell, answered }) =>
      neighbours.link(chapter.file, cell, { text: `${shortened(name.split("-").pop(), 20)} quiz${answered ? `, ${answered} answered` : ""}` }));
    const [some, all] = done(chapter);
    const rest = chapter.exercises + chapter.questions === 0 ? "nothing is counted here" : some === all ? "nothing: all is done" : `${all - some} of ${all}`;
    left.replaceChildren(...(exercises.length + quizzes.length ? [...exercises, ...quizzes] : [make("span", { class: "rta-note", text: rest })]));
    neighbours.aim();
  }

  /** Written into the stops as they stand: a new stop under the pointer would swallow the click. */
  function showProgress() {
    const here = current();
    for (const chapter of chapters) {
      const stop = stops.get(chapter.number);
      stop.classList.toggle("rta-here", chapter === here);
      stop.querySelector(".rta-status").textContent = status(chapter);
      stop.querySelector(".rta-track")?.remove();
      stop.append(...track(chapter));
    }
    const sum = (key, most) => chapters.reduce((all, chapter) => all + Math.min(chapter[key], chapter[most]), 0);
    total.textContent = `${sum("passed", "exercises")} of ${sum("exercises", "exercises")} exercises · ${sum("answered", "questions")} of ${sum("questions", "questions")} questions`;
    showLeft();
    if (told ?? here) say(told ?? here);
  }

  /** Python reads the progress file and changes `chapters`. Without a kernel the map stays as it is. */
  function refresh() {
    model.set("request", { id: (model.get("request")?.id ?? 0) + 1 });
    model.save_changes();
  }

  model.on("change:chapters", guarded(card, () => {
    model.get("chapters").forEach(({ passed, answered, todo, quizzes }, index) => Object.assign(chapters[index], { passed, answered, todo, quizzes }));
    showProgress();
  }));
  model.on("change:problem", () => card.fail(model.get("problem").message));
  // A tab of JupyterLab that is hidden and shown again changes no visibility of the page, but the map comes into view.
  whenSeen(card, () => { neighbours.aim(); refresh(); }, signal);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") refresh(); }, { signal });
  map.addEventListener("focusin", (event) => { if (!map.contains(event.relatedTarget)) refresh(); });
  showProgress();
  card.root.numbers = () => ({ chapters });
}

export default { render };
