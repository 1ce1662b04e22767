// Canvases as sharp as the screen, in the page's colours, and charts over ticks that one can drag.

export function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(
    ["ink", "soft", "line", "track", "card", "e", "i", "mixed", "glow", "right", "wrong"].map((name) => [
      name,
      style.getPropertyValue(`--${name}`).trim(),
    ]),
  );
}

// Fit a canvas to its place on the screen; returns its context, in CSS pixels, cleared.
export function fitted(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas,
    ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "11px system-ui, sans-serif";
  return { context, width, height };
}

export const rgba = (hex, alpha) => {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
};

const MARGIN = { left: 30, right: 6, top: 8, bottom: 16 };

// Where ticks (from 0) and values lie on a chart.
export function axes({ width, height }, ticks, low, high, margin = MARGIN) {
  const inner = width - margin.left - margin.right,
    tall = height - margin.top - margin.bottom;
  return {
    ...margin,
    low,
    high,
    ticks,
    end: width - margin.right,
    base: height - margin.bottom,
    x: (tick) => margin.left + ((tick + 0.5) / ticks) * inner,
    y: (value) => margin.top + (1 - (value - low) / (high - low || 1)) * tall,
    step: inner / ticks,
  };
}

// The frame of a chart: its values on the left, the first and the last tick below, a line at the tick shown.
export function frame(context, scale, tick, values, palette) {
  Object.assign(context, {
    strokeStyle: palette.line,
    fillStyle: palette.soft,
    lineWidth: 1,
    textBaseline: "middle",
    textAlign: "right",
  });
  for (const value of values) {
    const y = Math.round(scale.y(value)) + 0.5;
    line(context, [
      [scale.left, y],
      [scale.end, y],
    ]);
    context.fillText(String(value), scale.left - 5, y);
  }
  context.textBaseline = "bottom";
  context.textAlign = "center";
  for (const at of new Set([0, scale.ticks - 1])) context.fillText(String(at + 1), scale.x(at), scale.base + 15);
  context.strokeStyle = rgba(palette.ink, 0.35);
  line(context, [
    [scale.x(tick), scale.top],
    [scale.x(tick), scale.base],
  ]);
}

export function line(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

// A series over ticks, with a dot at the tick shown.
export function curve(context, scale, values, tick, colour, { dash = [], thin = false } = {}) {
  Object.assign(context, { strokeStyle: colour, fillStyle: colour, lineWidth: thin ? 1.3 : 2.2, lineJoin: "round" });
  context.setLineDash(dash);
  line(
    context,
    values.map((value, t) => [scale.x(t), scale.y(value)]),
  );
  context.setLineDash([]);
  context.beginPath();
  context.arc(scale.x(tick), scale.y(values[tick]), 3.5, 0, 2 * Math.PI);
  context.fill();
}

// Let a chart be dragged: calls dragged(tick, value) with places on its last drawn axes, held in canvas.scale.
export function draggable(canvas, dragged) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect(),
      { scale } = canvas;
    const tick = Math.floor((event.clientX - box.left - scale.left) / scale.step);
    const share = (event.clientY - box.top - scale.top) / (scale.base - scale.top);
    dragged(
      Math.min(Math.max(tick, 0), scale.ticks - 1),
      scale.high - share * (scale.high - scale.low),
      event.type === "pointerdown",
    );
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    at(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) at(event);
  });
}
