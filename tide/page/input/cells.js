// What a network of number grids is asked: cells that a click counts up, from empty to the side, or typed in a row.

import { solutions } from "../tasks/sudoku.js";

const CELLS_FIELD = `
<div id="cells" role="group" aria-label="Cells"></div>
<input id="typed" class="typed" spellcheck="false" autocomplete="off" inputmode="numeric" aria-label="Cells as text, row by row, 0 where empty">
<div class="row"><button id="clear" type="button">Empty</button></div>`;

export class Cells {
  // See Picture.
  constructor(parent, about, changed, complain) {
    Object.assign(this, { about, changed, complain, side: Math.sqrt(about.length) });
    parent.innerHTML = CELLS_FIELD;
    this.typed = parent.querySelector("#typed");
    const cells = parent.querySelector("#cells");
    cells.style.gridTemplateColumns = `repeat(${this.side}, 1fr)`;
    this.buttons = Array.from({ length: about.length }, (_, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () =>
        this.#take(this.numbers.with(place, (this.numbers[place] + 1) % (this.side + 1))),
      );
      return button;
    });
    cells.append(...this.buttons);
    this.typed.addEventListener("input", () => this.#read(this.typed.value));
    parent.querySelector("#clear").addEventListener("click", () => this.#take(this.first));
  }

  get lead() {
    return "which number stands in each empty cell. Click cells, let them think, then disturb them.";
  }

  get first() {
    return new Float32Array(this.about.length);
  }

  show(numbers) {
    this.numbers = numbers;
    this.typed.value = numbers.join("");
    this.buttons.forEach((button, place) => {
      const name = `Row ${Math.floor(place / this.side) + 1}, column ${(place % this.side) + 1}`;
      button.textContent = numbers[place] || "";
      button.setAttribute("aria-pressed", String(numbers[place] > 0));
      button.setAttribute("aria-label", `${name} is ${numbers[place] || "empty"}`);
    });
  }

  paint(canvas, numbers) {
    const size = 10 * this.side;
    Object.assign(canvas, { width: size, height: size });
    const context = canvas.getContext("2d");
    Object.assign(context, { font: "9px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, size, size);
    context.fillStyle = "#0b0d11";
    numbers.forEach((number, place) => {
      if (number) context.fillText(number, 10 * (place % this.side) + 5, 10 * Math.floor(place / this.side) + 5);
    });
  }

  #read(text) {
    const { length } = this.about,
      foreign = [...text].find((letter) => !(letter >= "0" && letter <= String(this.side)));
    if (foreign !== undefined) this.complain(`“${foreign}” is no number of a cell: write 0 to ${this.side}.`);
    else if (text.length !== length) this.complain(`${text.length} cells are written, ${length} are wanted.`);
    else this.#take(Float32Array.from(text, Number));
  }

  #take(numbers) {
    this.show(numbers);
    const found = this.about.truth === "sudoku" ? solutions(numbers).length : 1;
    if (found) this.changed(numbers);
    if (!found) this.complain("These numbers have no solution: in some row, column or box one stands twice, or must.");
    if (found > 1) this.complain("These numbers have more than one solution: give some more.");
  }
}
