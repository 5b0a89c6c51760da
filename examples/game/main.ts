/**
 * A game for everybody with the page open. The room runs it, 20 times a second: keys become calls to the room, and the
 * room's events return the results. This page only draws them.
 */
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { Arena, type Field, type Tick } from "./arena.ts";

/** The room's calls and their answers. */
type ArenaCalls = {
  readonly join: readonly [undefined, Field];
  readonly steer: readonly [number, null];
  readonly leave: readonly [undefined, null];
};

const TICK_MS = 50;
/** The room removes a player that sends nothing for 15 seconds. */
const HERE_MS = 4_000;
const COLORS = ["#f87171", "#4ade80", "#60a5fa", "#c084fc", "#f472b6", "#facc15"];
/** Directions: north, then clockwise; 0 is no movement. */
const DIRECTIONS: Readonly<Record<string, number>> = {
  "0,-1": 1,
  "1,-1": 2,
  "1,0": 3,
  "1,1": 4,
  "0,1": 5,
  "-1,1": 6,
  "-1,0": 7,
  "-1,-1": 8,
};
const KEYS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowUp: [0, -1],
  ArrowRight: [1, 0],
  ArrowDown: [0, 1],
  ArrowLeft: [-1, 0],
};

const query = new URLSearchParams(location.search);
const own = query.get("name") ?? `guest-${Date.now() % 1_000}`;
const find = <Kind extends Element>(selector: string) => document.querySelector<Kind>(selector)!;
const canvas = find<HTMLCanvasElement>("#field");
const arena = new Arena();
let tick_at_ms = 0;

const tell = (text: string) => void (find("#state").textContent = text);

function colorOf(name: string): string {
  let sum = 0;
  for (const one of name) sum += one.codePointAt(0)!;
  return COLORS[sum % COLORS.length]!;
}

/** Names, positions and scores, as text: names of others must not become HTML. */
function showPlayers({ players }: Tick): void {
  const best = Object.entries(players).sort(([, one], [, other]) => other[2] - one[2]);
  find("#players").replaceChildren(...best.map(([name, [x, y, score]]) => {
    const item = document.createElement("li");
    item.textContent = `${name} ${score}`;
    item.style.setProperty("--color", colorOf(name));
    Object.assign(item.dataset, { name, x, y });
    return item;
  }));
}

/** Draws between the last two ticks, so that movement is smooth. */
function draw(at_ms: number): void {
  requestAnimationFrame(draw);
  const { field, now, before, gems } = arena;
  const pen = canvas.getContext("2d");
  if (field === undefined || now === undefined || pen === null) return;
  const scale = canvas.width / field.wide;
  const across = field.wide / field.cell;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = "#fde68a";
  for (const gem of gems) {
    const x = gem % across + 0.5;
    const y = Math.floor(gem / across) + 0.5;
    pen.fillRect(x * field.cell * scale - 3, y * field.cell * scale - 3, 6, 6);
  }
  const part = Math.min(1, (at_ms - tick_at_ms) / TICK_MS);
  for (const [name, [x, y]] of Object.entries(now.players)) {
    const [from_x, from_y] = before?.players[name] ?? [x, y];
    const at_x = from_x + (x - from_x) * part;
    const at_y = from_y + (y - from_y) * part;
    pen.fillStyle = colorOf(name);
    pen.beginPath();
    pen.arc((at_x + 0.5) * scale, (at_y + 0.5) * scale, name === own ? 10 : 8, 0, 2 * Math.PI);
    pen.fill();
  }
}

/** Sends the direction of the keys or the pointer whenever it changes. */
function listenToKeys(steer: (direction: number) => void): void {
  const down = new Set<string>();
  const keys = () => {
    let x = 0;
    let y = 0;
    for (const key of down) [x, y] = [x + KEYS[key]![0], y + KEYS[key]![1]];
    steer(DIRECTIONS[`${x},${y}`] ?? 0);
  };
  addEventListener("keydown", (event) => {
    if (KEYS[event.key] === undefined) return;
    event.preventDefault();
    if (down.has(event.key)) return;
    down.add(event.key);
    keys();
  });
  addEventListener("keyup", ({ key }) => down.delete(key) && keys());
  addEventListener("blur", () => (down.clear(), keys()));
  canvas.addEventListener("pointerdown", ({ clientX, clientY }) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const side = (at: number, size: number) => Math.sign(Math.round(at / size * 3 - 1.5));
    steer(DIRECTIONS[`${side(clientX - left, width)},${side(clientY - top, height)}`] ?? 0);
  });
  addEventListener("pointerup", () => steer(0));
}

async function play(): Promise<void> {
  const { url, token } = await (await fetch(`/bus.json?name=${encodeURIComponent(own)}`)).json();
  const bus = await connect({ url, token });
  const room = bus.room(query.get("room") ?? "arena-1");
  const game = reduced<ArenaCalls>(room);
  let direction = 0;
  const greet = () => tell(`You are ${own}.`);
  let joining: Promise<void> | undefined;
  const join = () =>
    joining ??= (async () => {
      while (!arena.begin((await game.call("join")).answer)) arena.leave();
      greet();
      // A removed player joins at a new position with the key still down.
      if (direction !== 0) void steer();
    })().catch((error) => tell(error.message)).finally(() => joining = undefined);
  const steer = () =>
    game.call("steer", direction).then(greet, (error) => {
      // After a long disconnection the room no longer has the player.
      if (error.code === 404) return join();
      tell(error.message);
    });
  const listener = room.listen((message) => {
    if (message.type !== "tick" && message.signal === undefined) return;
    const tick = message.signal === undefined ? message.json() as unknown as Tick : undefined;
    if (tick !== undefined && arena.take(tick)) {
      tick_at_ms = performance.now();
      return showPlayers(tick);
    }
    // Ticks are missing, and with them changes of gems.
    arena.leave();
    void join();
  });
  await listener.ready;
  await join();
  listenToKeys((wanted) => {
    if (wanted === direction) return;
    direction = wanted;
    void steer();
  });
  setInterval(() => void steer(), HERE_MS);
  addEventListener("pagehide", () => void game.call("leave").catch(() => {}));
}

requestAnimationFrame(draw);
play().catch((error) => tell(String(error)));
