// A game at twenty ticks a second: players run over a field and pick up gems. "join" answers the field, "steer" with
// a direction from 0 to 8 moves a player, and every tick is an event with the positions of all. Without players there
// is no tick.
import {
  Command,
  emit,
  on,
  quote,
  read,
  readNumber,
  reject,
  remove,
  scan,
  schedule,
  unschedule,
  wholeNumber,
  write,
  writeNumber,
} from "../reducer_sdk/mod.ts";

const TICK_MS: i64 = 50;
/** The shortest time of a timer, in ms from now. */
const SOONEST_MS: i64 = 10;
/** Ticks that are caught up after a pause; the others are skipped. */
const MADE_UP: i64 = 5;
/** A player that is silent for this long leaves. */
const GONE_MS: i64 = 15_000;
const PLAYERS = 24;
/** The field in cells, and a cell in steps; a player moves one step in a tick. */
const WIDE = 48, HIGH = 32, STEPS = 4;
/** Gems on the field, and how many at most appear in a tick: each costs fuel. */
const GEMS: i64 = 200, APPEAR: i64 = 10;
/** Where 0 (nowhere) and 1 to 8 (north, then clockwise) lead. */
const DX: StaticArray<i32> = [0, 0, 1, 1, 1, 0, -1, -1, -1];
const DY: StaticArray<i32> = [0, -1, -1, 0, 1, 1, 1, 0, -1];

/** A player: a value "x y direction score heard_ms" under "player/ID". */
class Player {
  x: i32;
  y: i32;
  direction: i32;
  score: i32;
  seenMs: i64;

  constructor(value: string) {
    const parts = value.split(" ");
    this.x = <i32> wholeNumber(parts[0]);
    this.y = <i32> wholeNumber(parts[1]);
    this.direction = <i32> wholeNumber(parts[2]);
    this.score = <i32> wholeNumber(parts[3]);
    this.seenMs = wholeNumber(parts[4]);
  }

  get value(): string {
    return this.x.toString() + " " + this.y.toString() + " " + this.direction.toString() + " " +
      this.score.toString() + " " + this.seenMs.toString();
  }

  /** One step, up to the edge. Returns whether it moved. */
  step(): bool {
    const x = min(WIDE * STEPS - 1, max(0, this.x + DX[this.direction]));
    const y = min(HIGH * STEPS - 1, max(0, this.y + DY[this.direction]));
    const moved = x != this.x || y != this.y;
    this.x = x;
    this.y = y;
    return moved;
  }

  get cell(): i32 {
    return this.y / STEPS * WIDE + this.x / STEPS;
  }
}

const gemKey = (cell: i32): string => "gem/" + cell.toString();

/** A gem in the event of a tick: its cell, and whether it exists now. */
const gemText = (cell: i32, isThere: i32): string => "[" + cell.toString() + "," + isThere.toString() + "]";

/** Lays a gem on an empty cell, and reports it. */
function layGem(random: u64): string {
  let cell = <i32> (random % (WIDE * HIGH));
  while (read(gemKey(cell)) !== null) cell = (cell + 1) % (WIDE * HIGH);
  write(gemKey(cell), "");
  return gemText(cell, 1);
}

/** The cells of all gems. */
function gems(): string {
  const found = scan("gem/");
  const cells = new Array<string>(found.length);
  for (let at = 0; at < found.length; at++) cells[at] = found[at].key.substring(4);
  return "[" + cells.join(",") + "]";
}

/** The time of the next tick: counted from when the last one was due, not from when it ran, so that none is lost. */
function nextTick(nowMs: i64): void {
  const due = readNumber("due_ms") + TICK_MS;
  const from = nowMs - MADE_UP * TICK_MS;
  writeNumber("due_ms", due > from ? due : from);
  schedule("tick", due > nowMs + SOONEST_MS ? due : nowMs + SOONEST_MS, "tick");
}

on("join", (c: Command) => {
  const key = "player/" + c.user;
  const players = scan("player/");
  if (read(key) === null) {
    if (players.length == PLAYERS) reject("the arena is full", 503);
    const at = <u64> c.random();
    const x = <i32> (at % (WIDE * STEPS));
    const y = <i32> ((at >> 32) % (HIGH * STEPS));
    write(key, x.toString() + " " + y.toString() + " 0 0 " + c.nowMs.toString());
    if (players.length == 0) {
      writeNumber("due_ms", c.nowMs);
      nextTick(c.nowMs);
    }
    emit("joined", quote(c.user));
  }
  c.answer(
    '{"wide":' + (WIDE * STEPS).toString() + ',"high":' + (HIGH * STEPS).toString() +
      ',"cell":' + STEPS.toString() + ',"tick":' + readNumber("tick").toString() +
      ',"gems":' + gems() + "}",
  );
});

on("steer", (c: Command) => {
  const direction = c.number;
  if (direction < 0 || direction > 8) reject("expected a direction from 0 to 8", 400);
  const value = read("player/" + c.user);
  if (value === null) reject("join first", 404);
  const player = new Player(value!);
  player.direction = <i32> direction;
  player.seenMs = c.nowMs;
  write("player/" + c.user, player.value);
});

on("leave", (c: Command) => remove("player/" + c.user));

on("tick", (c: Command) => {
  if (!c.isTimer) reject("the room ticks by itself", 403);
  const players = scan("player/");
  const tick = readNumber("tick") + 1;
  const changed: string[] = [];
  const count = readNumber("gems");
  const more = min(APPEAR, GEMS - count);
  for (let at: i64 = 0; at < more; at++) changed.push(layGem(<u64> c.random()));
  if (more > 0) writeNumber("gems", count + more);
  const where: string[] = [];
  for (let at = 0; at < players.length; at++) {
    const key = players[at].key;
    const player = new Player(players[at].value);
    if (c.nowMs - player.seenMs > GONE_MS) {
      remove(key);
      continue;
    }
    const moved = player.step();
    const cell = player.cell;
    if (moved && read(gemKey(cell)) !== null) {
      remove(gemKey(cell));
      changed.push(gemText(cell, 0));
      changed.push(layGem(<u64> c.random()));
      player.score++;
    }
    if (moved) write(key, player.value);
    where.push(
      quote(key.substring(7)) + ":[" + player.x.toString() + "," + player.y.toString() + "," +
        player.score.toString() + "]",
    );
  }
  writeNumber("tick", tick);
  emit(
    "tick",
    '{"tick":' + tick.toString() + ',"players":{' + where.join(",") + '},"gems":[' +
      changed.join(",") + "]}",
  );
  if (where.length == 0) unschedule("tick");
  else nextTick(c.nowMs);
});
