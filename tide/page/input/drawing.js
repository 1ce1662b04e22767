// The drawing field: strokes with mouse, pen or finger, brought to the size and the place that the network knows.

export class Drawing {
  // `changed(image)` is called with the image, after every stroke and while one is drawn.
  constructor(canvas, { size, frame }, changed) {
    Object.assign(this, { canvas, size, frame, changed, drawing: false });
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.#end());
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect(),
      scale = this.canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  #begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.drawing = true;
    this.at = this.#place(event);
    this.#line(this.at);
  }

  #move(event) {
    if (!this.drawing) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) this.#line(this.#place(one));
    this.changed(this.image());
  }

  #end() {
    if (this.drawing) this.changed(this.image());
    this.drawing = false;
  }

  #line(to) {
    const pen = this.context;
    Object.assign(pen, { lineWidth: this.canvas.width / 11, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
    pen.beginPath();
    pen.moveTo(...this.at);
    pen.lineTo(to[0], to[1] + 0.01);
    pen.stroke();
    this.at = to;
  }

  // The strokes, scaled to the share of the frame that the training images fill, with the centre of mass in the middle.
  image() {
    const { width, height } = this.canvas,
      ink = this.context.getImageData(0, 0, width, height).data;
    const box = [width, height, -1, -1];
    let mass = 0,
      x = 0,
      y = 0;
    for (let i = 3, p = 0; i < ink.length; i += 4, p++) {
      if (!ink[i]) continue;
      const column = p % width,
        row = Math.floor(p / width);
      box[0] = Math.min(box[0], column);
      box[1] = Math.min(box[1], row);
      box[2] = Math.max(box[2], column);
      box[3] = Math.max(box[3], row);
      mass += ink[i];
      x += ink[i] * column;
      y += ink[i] * row;
    }
    if (!mass) return new Float32Array(this.size * this.size);
    const scale = (this.frame * this.size) / Math.max(box[2] - box[0] + 1, box[3] - box[1] + 1);
    const shift = [x / mass, y / mass].map((centre, axis) => {
      const low = -box[axis] * scale,
        high = this.size - (box[axis + 2] + 1) * scale;
      return Math.min(Math.max(this.size / 2 - centre * scale, low), Math.max(high, low));
    });
    return shrunk(this.canvas, this.size, scale, shift);
  }
}

// Draw `source` scaled and shifted at four times the size, then average: the same on every browser.
function shrunk(source, size, scale, [x, y]) {
  const fine = 4,
    canvas = new OffscreenCanvas(size * fine, size * fine),
    context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, x * fine, y * fine, source.width * scale * fine, source.height * scale * fine);
  const ink = context.getImageData(0, 0, size * fine, size * fine).data;
  return Float32Array.from({ length: size * size }, (_, p) => {
    let sum = 0;
    for (let k = 0; k < fine * fine; k++) {
      const row = Math.floor(p / size) * fine + Math.floor(k / fine),
        column = (p % size) * fine + (k % fine);
      sum += ink[(row * size * fine + column) * 4 + 3];
    }
    return sum / (255 * fine * fine);
  });
}
