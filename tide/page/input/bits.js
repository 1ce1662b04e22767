// What a network of bits is asked: a string of them, toggled one by one or typed. The first symbol is written as 1.

import { random } from "./random.js";

const BITS_FIELD = `
<div id="bits" role="group" aria-label="Bits"></div>
<input id="typed" class="typed" spellcheck="false" autocomplete="off" inputmode="numeric" aria-label="Bits as text">
<div class="row"><button id="fresh" type="button">Random</button><button id="clear" type="button">All 0</button></div>`;

export class Bits {
  // See Picture.
  constructor(parent, about, changed, complain) {
    Object.assign(this, { about, changed, complain, next: random(1) });
    parent.innerHTML = BITS_FIELD;
    this.typed = parent.querySelector("#typed");
    this.buttons = Array.from({ length: about.length }, (_, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => this.#take(this.bits.with(place, 1 - this.bits[place])));
      return button;
    });
    parent.querySelector("#bits").append(...this.buttons);
    this.typed.addEventListener("input", () => this.#read(this.typed.value));
    parent
      .querySelector("#fresh")
      .addEventListener("click", () => this.#take(this.buttons.map(() => Number(this.next() < 0.5))));
    parent.querySelector("#clear").addEventListener("click", () => this.#take(this.buttons.map(() => 0)));
  }

  get lead() {
    const what =
      this.about.truth === "parity" ? "whether the number of ones up to each place is odd" : "a string of bits";
    return `${what}. Toggle some, let them think, then disturb them.`;
  }

  get first() {
    return this.#symbols(this.buttons.map(() => 0));
  }

  show(symbols) {
    this.bits = Array.from(symbols, (symbol) => Number(symbol === this.about.alphabet[0]));
    this.typed.value = this.bits.join("");
    this.buttons.forEach((button, place) => {
      button.textContent = this.bits[place];
      button.setAttribute("aria-pressed", String(this.bits[place] === 1));
      button.setAttribute("aria-label", `Bit ${place + 1} is ${this.bits[place]}`);
    });
  }

  paint(canvas, symbols) {
    Object.assign(canvas, { width: symbols.length, height: 3 });
    const context = canvas.getContext("2d");
    symbols.forEach((symbol, place) => {
      context.fillStyle = symbol === this.about.alphabet[0] ? "#fff" : "#0b0d11";
      context.fillRect(place, 0, 1, 3);
    });
  }

  #symbols(bits) {
    return Float32Array.from(bits, (bit) => this.about.alphabet[1 - bit]);
  }

  #read(text) {
    const { length } = this.about,
      foreign = text.match(/[^01]/);
    if (foreign) this.complain(`“${foreign[0]}” is no bit: write 0 and 1, ${length} of them.`);
    else if (text.length !== length) this.complain(`${text.length} bits are written, ${length} are wanted.`);
    else this.#take([...text].map(Number));
  }

  #take(bits) {
    const symbols = this.#symbols(bits);
    this.show(symbols);
    this.changed(symbols);
  }
}
