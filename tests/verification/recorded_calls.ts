/**
 * Generates recorded calls of example policies for `calls_by_wasmtime.py`: messages in many spellings, what each policy
 * read, and its decision in this engine. The argument is the number of calls of each policy. The first line of each
 * policy has its metered module in base64; each later line is one record of the journal.
 */
import { builtModule, MEMORY_PAGES, Recorder } from "../../arq/replay/testing/recorded.ts";
import { readyModule } from "../../arq/replay/replay_modules.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { ALLOWED, REFUSED } from "../../policies/testing/word_cases.ts";

/** Policies that read the payload, headers, keyed state, and one that puts another payload in its place. */
export const POLICIES = ["bad_words_wat", "bad_words_rust", "rate_limit", "mask_digits"] as const;

const texts = Object.values({ ...REFUSED, ...ALLOWED }).filter(({ length }) => length < 500);

/** A text in one of many spellings. */
export const textAt = (at: number): string =>
  `${texts[at % texts.length]} ${at} ${texts[(at * 7) % texts.length]}`;

/** The line of a policy's metered module. */
export async function moduleLine(name: typeof POLICIES[number]): Promise<string> {
  const bytes = await builtModule(name);
  const { slots: declared } = await readyModule(bytes, MEMORY_PAGES);
  const { abi, renewal, bytes: metered } = meterPolicy(bytes, {
    memory_limit_pages: MEMORY_PAGES,
  });
  const slots = declared.map(({ key, value_bytes }) => ({ key, value_bytes }));
  return JSON.stringify({ name, abi, renewal, slots, module: metered.toBase64() });
}

if (import.meta.main) {
  const count = Number(Deno.args[0]);
  for (const name of POLICIES) {
    console.log(await moduleLine(name));
    const recorder = new Recorder(name, await readyModule(await builtModule(name), MEMORY_PAGES));
    for (let at = 0; at < count; at++) {
      const message = { payload: textAt(at), user: `u${at % 30}` };
      console.log(JSON.stringify(recorder.record(message)));
    }
  }
}
