// What a network of images is asked: something drawn, or a photo.

import { paint } from "../views/image.js";
import { Drawing } from "./drawing.js";
import { fromPhoto } from "./photo.js";

const PICTURE_FIELD = `
<div class="pad-frame">
  <canvas id="pad" width="280" height="280" aria-label="Drawing field: draw with mouse, pen or finger"></canvas>
  <span class="hint" id="pad-hint">draw here</span>
</div>
<div class="row">
  <button id="clear" type="button">Clear</button>
  <label class="button" for="photo">Photo…</label>
  <input id="photo" type="file" accept="image/*" class="hidden-input">
</div>`;

export class Picture {
  // `changed(shown)` is called with what is to be thought about, `complain(sentence)` where that is not possible.
  constructor(parent, about, changed, complain) {
    this.about = about;
    parent.innerHTML = PICTURE_FIELD;
    const [frame, hint, clear, photo] = [".pad-frame", "#pad-hint", "#clear", "#photo"].map((one) =>
      parent.querySelector(one),
    );
    const drawing = new Drawing(parent.querySelector("#pad"), about, (image) => {
      hint.hidden = true;
      changed(image);
    });
    frame.hidden = about.channels !== 1;
    clear.addEventListener("click", () => {
      drawing.clear();
      hint.hidden = false;
    });
    const take = (file) => file && fromPhoto(file, about).then(changed, (error) => complain(error.message));
    photo.addEventListener("change", () => take(photo.files[0]));
    addEventListener("drop", (event) => take(event.dataTransfer.files[0]));
  }

  get lead() {
    return "what an image shows. Draw something, let them think, then disturb them.";
  }

  // What is asked for where there is no sample.
  get request() {
    return this.about.channels === 1 ? "Draw something, or choose a photo." : "Choose a photo.";
  }

  // Take over a sample: it stands beside the drawing.
  show() {}

  paint(canvas, image) {
    Object.assign(canvas, { width: this.about.size, height: this.about.size });
    paint(canvas.getContext("2d"), image, this.about.channels, this.about.size);
  }
}
