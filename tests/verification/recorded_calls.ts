/**
 * Generates recorded calls of example policies for `calls_by_wasmtime.py`: messages in many spellings, what each policy
 * read, and its decision in this engine. The argument is the number of calls of each policy. The first line of each
 * policy has its metered module in base64; each later line is one record of the journal.
 */
import { builtModule, MEMORY_PAGES, Recorder } from "../../arq/replay/testing/recorded.ts";
import { readyModule } from "../../arq/replay/replay_modules.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { ALLOWED, REFUSED } from "../../policies/testing/word_cases.ts";

/** Policies that read the payload, headers, keyed state, and one that replaces the payload. */
const POLICIES = ["bad_words_wat", "bad_words_rust", "rate_limit", "mask_digits"];

const texts = Object.values({ ...REFUSED, ...ALLOWED }).filter(({ length }) => length < 500);

if (import.meta.main) {
  const count = Number(Deno.args[0]);
  for (const name of POLICIES) {
    const bytes = await builtModule(name);
    const module = await readyModule(bytes, MEMORY_PAGES);
    const { abi, renewal, bytes: metered } = meterPolicy(bytes, {
      memory_limit_pages: MEMORY_PAGES,
    });
    const slots = module.slots.map(({ key, value_bytes }) => ({ key, value_bytes }));
    console.log(JSON.stringify({ name, abi, renewal, slots, module: metered.toBase64() }));
    const recorder = new Recorder(name, module);
    for (let at = 0; at < count; at++) {
      const text = `${texts[at % texts.length]} ${at} ${texts[(at * 7) % texts.length]}`;
      console.log(JSON.stringify(recorder.record({ payload: text, user: `u${at % 30}` })));
    }
  }
}
