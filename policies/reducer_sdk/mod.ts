// `@arqon/reducer`: what a reducer imports. Every command begins with the variables as the top-level
// statements set them; a room's state is in its values. The ABI below it is in ../REDUCER_ABI.md.
export { Command } from "./command.ts";
export { Fields, wholeNumber } from "./fields.ts";
export { migrate, on } from "./guest.ts";
export { JsonKind, JsonReader } from "./json.ts";
export { quote } from "./quote.ts";
export { reject } from "./reject.ts";
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
