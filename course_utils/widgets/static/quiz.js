// Quiz: one question at a time. Every wrong choice is explained after it was chosen, and the reader tries again.

function render({ model, el, signal }) {
  const card = makeCard(el, { kind: "quiz", title: "Check yourself" });
  const questions = model.get("questions");
  const group = `quiz-${Math.random().toString(36).slice(2)}`;      // radio groups of two views must not mix
  const view = { index: 0, picked: null };
  const tries = (index) => model.get("tries").filter(([question]) => question === index).map(([, choice]) => choice);
  const isRight = (index, choice) => questions[index].choices[choice].correct;
  const isSolved = (index) => tries(index).some((choice) => isRight(index, choice));

  const dots = make("ol", { class: "rta-dots", "aria-label": "Progress" });
  card.controls.append(dots);

  /** right at once, right after some tries, open: filled, half filled, empty. */
  function showDots() {
    dots.replaceChildren(...questions.map((_, index) => {
      const first = isSolved(index) && tries(index).length === 1;
      const state = first ? "right at once" : isSolved(index) ? "right in the end" : "open";
      const kind = [first ? "rta-first" : isSolved(index) ? "rta-later" : "", index === view.index ? "rta-now" : ""].join(" ").trim();
      return make("li", { class: kind, title: `Question ${index + 1}: ${state}`, "aria-label": `Question ${index + 1}: ${state}` });
    }));
  }

  function choiceRow(index, choice, tried, solved) {
    const { text, why } = questions[index].choices[choice];
    const wrong = tried.includes(choice) && !isRight(index, choice);
    const right = solved && isRight(index, choice);
    const input = make("input", { type: "radio", name: group, value: choice, disabled: solved || wrong,
      on: { change: () => { view.picked = choice; check.disabled = false; card.say(); } } });
    input.checked = choice === view.picked || right;
    const note = wrong || right
      ? make("div", { class: "rta-why" }, make("b", { text: right ? "Right." : "Not this one." }), ...withCode(why)) : null;
    return make("label", { class: `rta-choice ${wrong ? "rta-tried" : ""} ${right ? "rta-solved" : ""}`.trim(), data: { choice } },
      input, make("span", {}, ...withCode(text)), note);
  }

  const check = make("button", { type: "submit", class: "rta-button rta-primary", text: "Check" });

  function showQuestion() {
    const { index } = view;
    const tried = tries(index);
    const solved = isSolved(index);
    const rows = questions[index].choices.map((_, choice) => choiceRow(index, choice, tried, solved));
    const last = index === questions.length - 1;
    const next = make("button", { type: "button", class: `rta-button ${solved ? "rta-primary" : ""}`.trim(), text: last ? "Summary" : "Next question",
      on: { click: () => go(index + 1) } });
    const back = make("button", { type: "button", class: "rta-button", text: "Back", disabled: index === 0, on: { click: () => go(index - 1) } });
    check.disabled = view.picked === null;
    card.note.textContent = `question ${index + 1} of ${questions.length}`;
    card.body.replaceChildren(make("form", { class: "rta-quiz", on: { submit: (event) => { event.preventDefault(); answer(); } } },
      make("fieldset", {}, make("legend", {}, ...withCode(questions[index].text)), ...rows),
      make("div", { class: "rta-actions" }, solved ? null : check, next, back)));
    showDots();
    return { rows, next };
  }

  function answer() {
    const { index, picked } = view;
    if (picked === null || isSolved(index)) return;
    model.set("tries", [...model.get("tries"), [index, picked]]);
    model.save_changes();
    const right = isRight(index, picked);
    view.picked = null;
    const { rows, next } = showQuestion();
    card.say(make("b", { text: right ? "Right. " : "Not this one. " }),
      right ? "" : "Read why below the choice, then try another.");
    // The focus stays where the reader is: on the next button, or on the first choice that is still open.
    (right ? next : rows.find((row) => !row.firstElementChild.disabled)?.firstElementChild)?.focus();
  }

  function showSummary() {
    const first = questions.filter((_, index) => isSolved(index) && tries(index).length === 1).length;
    card.note.textContent = "summary";
    card.body.replaceChildren(
      make("p", {}, make("b", { text: `${first} of ${questions.length}` }), " right at the first try."),
      make("dl", { class: "rta-summary" }, ...questions.flatMap((question, index) => {
        const count = tries(index).length;
        const state = !isSolved(index) ? "still open" : count === 1 ? "right at once" : `right at try ${count}`;
        return [make("dt", { class: "rta-note", text: `${index + 1} · ${state}` }), make("dd", {}, ...withCode(shortened(question.text, 160)))];
      })),
      make("div", { class: "rta-actions" },
        make("button", { type: "button", class: "rta-button rta-primary", text: "Start again", on: { click: () => {
          model.set("tries", []);
          model.save_changes();
          go(0);
        } } }),
        make("button", { type: "button", class: "rta-button", text: "Back", on: { click: () => go(questions.length - 1) } })));
    showDots();
    card.say();
  }

  const show = guarded(card, () => (view.index < questions.length ? showQuestion() : showSummary()));
  function go(index) {
    view.index = within(index, 0, questions.length);
    view.picked = null;
    card.say();
    show();
    card.body.querySelector("input:not(:disabled), button:not(:disabled)")?.focus({ preventScroll: true });
  }

  model.on("change:problem", () => card.fail(model.get("problem").message ?? ""));
  card.root.numbers = () => ({ index: view.index, tries: model.get("tries") });
  const open = questions.findIndex((_, index) => !isSolved(index));
  view.index = open === -1 ? questions.length : open;
  show();
}

export default { render };
