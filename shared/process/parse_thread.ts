/**
 * The worker that parses and checks a large configuration: 10,000 room classes take seconds, for which messages must
 * not wait. `parse_aside.ts` starts it, once for each file.
 */
import { ConfigError, configText, parseConfig, type ParseOptions } from "../config/load.ts";
import { classesHash } from "../config/classes_hash.ts";
import { cut, type CutConfig } from "../config/live/long_lists.ts";
import { answerMessages, bugText } from "./thread_answers.ts";

/** A file to parse. */
export interface ParseRequest {
  readonly bytes: Uint8Array;
  readonly options: ParseOptions;
}

/** The checked configuration with the hash of its room classes, what is wrong with it, or a bug of ours. */
export type ParseReply =
  | { readonly config: CutConfig; readonly classes_hash: number }
  | { readonly problem: string }
  | { readonly bug: string };

answerMessages(({ bytes, options }: ParseRequest): ParseReply => {
  try {
    const config = parseConfig(configText(bytes, options.file), options);
    return { config: cut(config), classes_hash: classesHash(config.rooms) };
  } catch (error) {
    if (error instanceof ConfigError) return { problem: error.message };
    return { bug: bugText(error) };
  }
});
