/**
 * Parses a configuration beside the work of a running process: a small file at once, a larger one in a thread of its
 * own, which ends with it.
 */
import { configText, parseConfig, type ParseOptions } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { rememberClassesHash } from "../config/classes_hash.ts";
import { inPieces, STRANGERS } from "../turns/slices.ts";
import { joining } from "../config/live/long_lists.ts";
import type { ParseReply, ParseRequest } from "./parse_thread.ts";

/** Files of at most this size are parsed at once, in some 20 ms; a thread takes 300 ms and 60 MB to start. */
const SMALL_BYTES = 16_384;
/** The time limit of a file in the thread, in ms: long filters take 7 ms each. */
const PARSE_MS = 300_000;

/** The checked configuration. Rejects as `parseConfig` throws, for a larger file with an Error of the same message. */
export async function parseAside(bytes: Uint8Array, options: ParseOptions): Promise<Config> {
  const { file } = options;
  if (bytes.length <= SMALL_BYTES) return parseConfig(configText(bytes, file), options);
  const reply = await ask({ bytes, options });
  if ("problem" in reply) throw new Error(reply.problem);
  if ("bug" in reply) throw new Error(`${file} could not be checked: ${reply.bug}`);
  let config: unknown;
  await inPieces(STRANGERS, joining(reply.config, (whole) => config = whole), 1);
  const { rooms } = config as Config;
  rememberClassesHash(rooms, reply.classes_hash);
  return config as Config;
}

async function ask(request: ParseRequest): Promise<ParseReply> {
  const url = new URL("./parse_thread.ts", import.meta.url);
  const thread = new Worker(url, { type: "module", name: "config" });
  const { promise, resolve, reject } = Promise.withResolvers<ParseReply>();
  const { file } = request.options;
  const late = () => reject(new Error(`${file} was not checked in ${PARSE_MS / 1_000} s`));
  const timer = setTimeout(late, PARSE_MS);
  thread.onmessage = ({ data }: MessageEvent<ParseReply>) => resolve(data);
  thread.onerror = (event) => {
    event.preventDefault();
    reject(new Error(`${file} could not be checked: ${event.message}`));
  };
  try {
    thread.postMessage(request);
    return await promise;
  } finally {
    clearTimeout(timer);
    thread.terminate();
  }
}
