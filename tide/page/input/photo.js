// A photo as the network takes it: its middle square, in the network's size and colours.

const MOST_BYTES = 30e6;

// Return the image (Float32Array, channels x size x size in [0, 1]); rejects with one sentence that says what is wrong.
export async function fromPhoto(file, { channels, size }) {
  if (!file.type.startsWith("image/")) throw new Error(`${file.name} is no image: choose a PNG or JPEG file.`);
  if (file.size > MOST_BYTES) throw new Error(`${file.name} has more than 30 MB: choose a smaller photo.`);
  let photo;
  try {
    photo = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} cannot be read: choose a PNG or JPEG file.`);
  }
  const side = Math.min(photo.width, photo.height),
    left = (photo.width - side) / 2,
    top = (photo.height - side) / 2;
  const context = new OffscreenCanvas(size, size).getContext("2d");
  Object.assign(context, { imageSmoothingQuality: "high", fillStyle: "#fff" });
  context.fillRect(0, 0, size, size);
  context.drawImage(photo, left, top, side, side, 0, 0, size, size);
  const { data } = context.getImageData(0, 0, size, size),
    places = size * size;
  if (channels === 3)
    return Float32Array.from({ length: 3 * places }, (_, i) => data[(i % places) * 4 + Math.floor(i / places)] / 255);
  const grey = Float32Array.from({ length: places }, (_, p) => {
    return (0.299 * data[4 * p] + 0.587 * data[4 * p + 1] + 0.114 * data[4 * p + 2]) / 255;
  });
  return onBlack(grey, size);
}

// The network knows bright shapes on black: a photo with a bright border is turned around.
function onBlack(grey, size) {
  const border = grey.filter((_, p) => p < size || p >= size * (size - 1) || p % size === 0 || p % size === size - 1);
  const bright = border.reduce((sum, x) => sum + x, 0) / border.length > 0.5;
  const turned = bright ? grey.map((x) => 1 - x) : grey;
  const low = Math.min(...turned),
    range = Math.max(...turned) - low || 1;
  return turned.map((x) => Math.min(1, Math.max(0, (x - low) / range)));
}
