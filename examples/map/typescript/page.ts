/**
 * The page of the live map: subscribes to a room and draws a dot for each vehicle. It runs in the browser; `view.ts`
 * serves it.
 */
import { ArqonError, connect, type Message, type Position, type Room } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import type { Vehicle } from "./gtfs.ts";
import { isVehicle, pictureOf, WIDTH } from "./place.ts";

const SVG = "http://www.w3.org/2000/svg";
const map = document.querySelector("#map")!;
const vehicles = new Map<string, Vehicle>();
const dots = new Map<string, Element>();
let updates = 0;
let gaps = 0;
let drawn = true;

const show = (id: string, text: string | number) => {
  document.querySelector(`#${id}`)!.textContent = String(text);
};

function draw(): void {
  drawn = true;
  const { height, rows, spots } = pictureOf([...vehicles.values()]);
  map.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  map.querySelectorAll("path, text").forEach((old) => old.remove());
  for (const { route, y } of rows) {
    const track = document.createElementNS(SVG, "path");
    track.setAttribute("d", `M40 ${y - 10}H960M40 ${y + 10}H960`);
    const name = document.createElementNS(SVG, "text");
    name.setAttribute("x", "8");
    name.setAttribute("y", String(y + 5));
    name.textContent = route;
    map.prepend(track, name);
  }
  for (const [id, { x, y }] of spots) {
    let dot = dots.get(id);
    if (dot === undefined) {
      dot = map.appendChild(document.createElementNS(SVG, "circle"));
      dot.setAttribute("r", "6");
      dot.appendChild(document.createElementNS(SVG, "title")).textContent = id;
      dots.set(id, dot);
    }
    dot.setAttribute("cx", String(x));
    dot.setAttribute("cy", String(y));
  }
  for (const [id, dot] of dots) {
    if (spots.has(id)) continue;
    dot.remove();
    dots.delete(id);
  }
  show("vehicles", vehicles.size);
  show("updates", updates);
  show("gaps", gaps);
}

function jsonOf(message: Message): unknown {
  try {
    return message.json();
  } catch {
    return undefined;
  }
}

function receive(message: Message): void {
  if (message.signal?.kind === "GAP") gaps++;
  const data = jsonOf(message);
  if (message.type === "vehicle" && isVehicle(data)) {
    vehicles.set(data.id, data);
    updates++;
  } else if (message.type === "gone") vehicles.delete(Object(data).id);
  // Many updates are drawn once.
  if (drawn) requestAnimationFrame(draw);
  drawn = false;
}

/**
 * Reads the stored messages. Returns the position after them, where the subscription begins; undefined if the room
 * stores nothing.
 */
async function receiveHistory(room: Room): Promise<Position | undefined> {
  try {
    for (let after: Position["offset"] = 0;;) {
      const { messages, offset, epoch, more } = await history(room, { after, limit: 1_000 });
      messages.forEach(receive);
      const last = messages.at(-1);
      if (!more || last === undefined) return { offset: last?.offset ?? offset, epoch };
      after = last.offset;
    }
  } catch (error) {
    if (error instanceof ArqonError && error.reason === "not-durable") return undefined;
    throw error;
  }
}

const { url, room_id } = await (await fetch("/bus")).json();
const bus = await connect({
  url,
  getToken: async () => await (await fetch("/token")).text(),
  onStatus: ({ state }) => show("state", state),
});
const room = bus.room(room_id);
const position = await receiveHistory(room);
for await (const message of room.subscribe(position === undefined ? {} : { position })) {
  receive(message);
}
