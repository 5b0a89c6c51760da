// `@arqon/policy/v2`: what a policy of version 2 of the ABI imports. Every call of it begins with the state
// that its top-level statements made: the next call does not see what a call writes to a variable. The ABI
// below it is in ../ABI_V2.md.
export { onAppend, Piece } from "./appending.ts";
export { allow, onConnect, onSubscribe, reject, Verdict } from "./guest.ts";
export { Message, onMessage } from "./replacing.ts";
export { Request } from "./request.ts";
export { debug, error, info, warn } from "./log.ts";
export { fold, WordList } from "./words.ts";
export { JsonKind, JsonReader } from "./json.ts";
export { State, state } from "./state.ts";
