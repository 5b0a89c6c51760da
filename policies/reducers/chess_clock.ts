// A chess clock. "open" with the seconds that each has and those that a move adds, such as "300+3"; "sit" with
// white or black; "press" ends one's own turn. A side that runs out of time has lost: the room announces it.
import {
  Command,
  emit,
  on,
  quote,
  read,
  readNumber,
  reject,
  schedule,
  unschedule,
  wholeNumber,
  write,
  writeNumber,
} from "../reducer_sdk/mod.ts";

const LONGEST_S: i64 = 86_400;
/** The shortest time of a timer, in ms from now. */
const SOONEST_MS: i64 = 10;

const other = (side: string): string => side == "white" ? "black" : "white";

/** The clock as shown: whose turn it is, since when, and the time that each had left then. */
function clock(): string {
  const turn = read("turn");
  return '{"white_ms":' + readNumber("left/white").toString() +
    ',"black_ms":' + readNumber("left/black").toString() +
    ',"turn":' + (turn === null ? "null" : quote(turn)) +
    ',"since_ms":' + readNumber("since_ms").toString() + "}";
}

/** Starts a side's time. The timer ends the game if nobody presses. */
function run(side: string, nowMs: i64): void {
  write("turn", side);
  writeNumber("since_ms", nowMs);
  const left = readNumber("left/" + side);
  schedule("flag", nowMs + (left > SOONEST_MS ? left : SOONEST_MS), "flag");
  emit("clock", clock());
}

function end(winner: string, why: string): void {
  unschedule("flag");
  write("winner", winner);
  emit("ended", '{"winner":' + quote(winner) + ',"why":' + quote(why) + "}");
}

function requireRunning(): string {
  if (read("winner") !== null) reject("the game has ended");
  const turn = read("turn");
  if (turn === null) reject("the clock does not run");
  return turn!;
}

on("open", (c: Command) => {
  if (read("left/white") !== null) reject("the clock has been opened");
  const parts = c.text.split("+");
  if (parts.length != 2) reject("expected seconds and seconds for a move, such as 300+3", 400);
  const base = wholeNumber(parts[0]);
  const added = wholeNumber(parts[1]);
  if (base < 1 || base > LONGEST_S) reject("each has 1 to 86,400 seconds", 400);
  if (added < 0 || added > LONGEST_S) reject("a move adds 0 to 86,400 seconds", 400);
  writeNumber("left/white", base * 1_000);
  writeNumber("left/black", base * 1_000);
  writeNumber("added_ms", added * 1_000);
  emit("opened", clock());
});

on("sit", (c: Command) => {
  const side = c.text;
  if (side != "white" && side != "black") reject("expected white or black", 400);
  if (read("left/white") === null) reject("the clock has not been opened");
  if (read("player/" + side) !== null) reject(side + " is taken");
  if (read("player/" + other(side)) == c.user) reject("nobody plays against themself", 403);
  write("player/" + side, c.user);
  emit("seated", '{"side":' + quote(side) + ',"user":' + quote(c.user) + "}");
  if (read("player/" + other(side)) !== null) run("white", c.nowMs);
});

on("press", (c: Command) => {
  const turn = requireRunning();
  if (read("player/" + turn) != c.user) reject("it is not your turn", 403);
  const left = readNumber("left/" + turn) - (c.nowMs - readNumber("since_ms"));
  if (left <= 0) reject("your time is over");
  writeNumber("left/" + turn, left + readNumber("added_ms"));
  run(other(turn), c.nowMs);
  c.answer((left + readNumber("added_ms")).toString());
});

on("resign", (c: Command) => {
  requireRunning();
  if (read("player/white") == c.user) end("black", "resigned");
  else if (read("player/black") == c.user) end("white", "resigned");
  else reject("only who plays resigns", 403);
});

on("flag", (c: Command) => {
  if (!c.isTimer) reject("the room looks at the time", 403);
  const turn = requireRunning();
  writeNumber("left/" + turn, 0);
  end(other(turn), "time");
});

on("look", (c: Command) => c.answer(clock()));
