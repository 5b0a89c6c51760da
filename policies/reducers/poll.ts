// A poll. "ask" with a line for the seconds that it runs, one for the question and one for each of 2 to 9 options;
// "vote" with an option's number, which may be changed until the end. The room counts, and closes the poll.
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

const LONGEST_S: i64 = 604_800;
const LONGEST_TEXT = 4_000;

function counts(): string {
  let text = "[";
  const options = readNumber("options");
  for (let at: i64 = 1; at <= options; at++) {
    text += (at == 1 ? "" : ",") + readNumber("count/" + at.toString()).toString();
  }
  return text + "]";
}

function requireOpen(): void {
  const state = read("state");
  if (state === null) reject("nothing has been asked");
  if (state == "closed") reject("the poll is closed");
}

function close(): void {
  unschedule("close");
  write("state", "closed");
  emit("closed", counts());
}

on("ask", (c: Command) => {
  if (read("state") == "open") reject("the poll is open");
  // The votes stay in the room: another poll needs another room.
  if (read("state") !== null) reject("a room has one poll");
  if (c.bytes.length > LONGEST_TEXT) reject("at most 4,000 bytes", 413);
  const lines = c.text.split("\n");
  if (lines.length < 4 || lines.length > 11) reject("expected 2 to 9 options", 400);
  const runs = wholeNumber(lines[0]);
  if (runs < 1 || runs > LONGEST_S) reject("it runs 1 to 604,800 seconds", 400);
  write("state", "open");
  write("asker", c.user);
  let asked = '{"question":' + quote(lines[1]) + ',"options":[';
  for (let at = 2; at < lines.length; at++) asked += (at == 2 ? "" : ",") + quote(lines[at]);
  asked += '],"closes_ms":' + (c.nowMs + runs * 1_000).toString() + "}";
  write("asked", asked);
  writeNumber("options", lines.length - 2);
  schedule("close", c.nowMs + runs * 1_000, "close");
  emit("asked", asked);
});

on("vote", (c: Command) => {
  requireOpen();
  const option = c.number;
  if (option < 1 || option > readNumber("options")) reject("there is no such option", 400);
  const key = "vote/" + c.user;
  const before = readNumber(key);
  if (before == option) return;
  if (before > 0) {
    const left = "count/" + before.toString();
    writeNumber(left, readNumber(left) - 1);
  }
  writeNumber(key, option);
  const chosen = "count/" + option.toString();
  writeNumber(chosen, readNumber(chosen) + 1);
  emit("counts", counts());
});

on("close", (c: Command) => {
  requireOpen();
  if (!c.isTimer && read("asker") != c.user) reject("only who asked closes it", 403);
  close();
});

on("look", (c: Command) => {
  const asked = read("asked");
  if (asked === null) reject("nothing has been asked", 404);
  c.answer('{"asked":' + asked! + ',"counts":' + counts() + ',"state":' + quote(read("state")!) + "}");
});
