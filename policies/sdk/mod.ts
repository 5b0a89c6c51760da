// `@arqon/policy`: what a policy in AssemblyScript imports. The ABI below it is in ../ABI.md.
export { allow, onConnect, onMessage, onSubscribe, reject, Verdict } from "./guest.ts";
export { Message, Request } from "./request.ts";
export { debug, error, info, warn } from "./log.ts";
export { fold, WordList } from "./words.ts";
export { JsonKind, JsonReader } from "./json.ts";
