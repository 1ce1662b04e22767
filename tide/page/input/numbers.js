// What a network of numbers is asked: a list of them, dragged as bars or typed.

import { normal, random } from "./random.js";

const NUMBERS_FIELD = `
<canvas id="pad" class="cells" height="160" aria-label="Numbers as bars: drag one"></canvas>
<input id="typed" class="typed" spellcheck="false" autocomplete="off" aria-label="Numbers, with commas">
<div class="row"><button id="fresh" type="button">Random</button></div>`;
const TALLEST = 3; // of a bar

export class Numbers {
  // See Picture.
  constructor(parent, { length }, changed, complain) {
    Object.assign(this, { length, changed, complain, next: random(1) });
    parent.innerHTML = NUMBERS_FIELD;
    this.canvas = parent.querySelector("#pad");
    this.typed = parent.querySelector("#typed");
    this.typed.addEventListener("input", () => this.#read(this.typed.value));
    parent.querySelector("#fresh").addEventListener("click", () => this.#take(this.first));
    const drag = (event) => {
      const box = this.canvas.getBoundingClientRect(),
        place = Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * length), 0), length - 1);
      const share = Math.min(Math.max((event.clientY - box.top) / box.height, 0), 1);
      this.#take(
        this.numbers.with(event.type === "pointerdown" ? (this.place = place) : this.place, TALLEST * (1 - 2 * share)),
      );
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      drag(event);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) drag(event);
    });
  }

  get lead() {
    return "the order of a list of numbers. Change one, let them think, then disturb them.";
  }

  get first() {
    return Float32Array.from({ length: this.length }, () => normal(this.next));
  }

  show(numbers) {
    this.numbers = numbers;
    if (document.activeElement !== this.typed) this.typed.value = Array.from(numbers, (x) => x.toFixed(2)).join(", ");
    this.paint(this.canvas, numbers);
  }

  paint(canvas, numbers) {
    Object.assign(canvas, { width: 20 * numbers.length, height: 160 });
    const context = canvas.getContext("2d");
    numbers.forEach((number, place) => {
      context.fillStyle = number < 0 ? "#ff9440" : "#5aaaf5";
      const height = (Math.min(Math.max(number / TALLEST, -1), 1) * canvas.height) / 2;
      context.fillRect(20 * place + 2, canvas.height / 2, 16, -height || 1);
    });
  }

  #read(text) {
    const parts = text.split(",").map((part) => part.trim()),
      foreign = parts.find((part) => part === "" || !Number.isFinite(Number(part)));
    if (foreign !== undefined) this.complain(`“${foreign}” is no number: write ${this.length} of them, with commas.`);
    else if (parts.length !== this.length)
      this.complain(`${parts.length} numbers are written, ${this.length} are wanted.`);
    else this.#take(Float32Array.from(parts, Number));
  }

  #take(numbers) {
    this.show(numbers);
    if (new Set(numbers).size < numbers.length) this.complain("A number stands there twice: there is no one order.");
    else this.changed(numbers);
  }
}
