// `@arqon/reducer`: what a reducer imports. Every command begins with the variables that the top-level
// statements made; a room's state is in its values. The ABI below it is in ../REDUCER_ABI.md.
export { Command } from "./command.ts";
export { Fields } from "./fields.ts";
export { migrate, on, reject } from "./guest.ts";
export { JsonKind, JsonReader } from "./json.ts";
export { quote } from "./quote.ts";
export { wholeNumber } from "./number.ts";
export {
  emit,
  Entry,
  log,
  read,
  readBytes,
  readNumber,
  remove,
  scan,
  schedule,
  unschedule,
  write,
  writeBytes,
  writeNumber,
} from "./room.ts";
