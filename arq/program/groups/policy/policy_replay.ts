/** `arq policy replay` and `record`; their code is loaded when they run. */
import { InvalidArgumentError } from "commander";
import { command, type Definition, EACH, NEEDED, rows } from "../define.ts";
import { parseRedactPath, type RedactPath } from "../../../replay/redaction.ts";
import type { CallBound } from "../../../commands/policy/policy_replay.ts";
import { BUS, calls, moment, positive, roomPattern, span, tenant } from "../options.ts";
import { memoryPages } from "./policy_local.ts";

function callBound(text: string): CallBound {
  const [, percent] = /^(\d+(?:\.\d+)?|\.\d+)%$/.exec(text) ?? [];
  if (percent !== undefined && Number(percent) <= 100) return { share: Number(percent) / 100 };
  if (/^\d{1,15}$/.test(text)) return { count: Number(text) };
  throw new InvalidArgumentError("Expected a number of calls, or a share of the calls: 0 or 0.1%.");
}

function redactPath(text: string): RedactPath {
  const path = parseRedactPath(text);
  if (path !== undefined) return path;
  throw new InvalidArgumentError(
    "Expected data.MEMBER, data.LIST.*.MEMBER, header.NAME, claim.NAME.",
  );
}

/** The options that say which part of a journal counts. */
const JOURNAL = rows`
    --tenant <id>  tenant (default: default; of a file: every one) ${tenant}
    --journal <file>  a file of arq journal export, - is stdin (default: the bus's journal)
    --room <pattern>  only of this room, or of rooms that begin so: 'chat-*' ${roomPattern}
    --since <time>  only so long ago at most: 10m, 1h, 7d or seconds ${span} ${{ without: "from" }}
    --from <time>  only from this time on: 2026-11-22T10:00:00Z ${moment}
    --to <time>  only before this time ${moment}`;

/** What `arq policy` has for recorded calls. */
export const POLICY_REPLAY: readonly Definition[] = [
  command`policy replay: say what a module would have decided about recorded calls; runs on this machine ${BUS}
    <module>  the new module: a .wasm file, or NAME[@VERSION] of the bus's policies
    ${JOURNAL}
    --policy <name>  whose calls are repeated (default: the module's name)
    --module <file>  a module that records name; repeatable ${EACH}
    --max-flips <n>  exit code 6 when there are more: a number, or 0.1% ${callBound}
    --max-unknown <n>  the same of calls that cannot be judged (default: 0 with --max-flips) ${callBound}
    --flips <file>  write every flip into this new file, one JSON object a line
    --memory-limit-pages <n>  memory in pages of 64 KiB (default: 64) ${memoryPages}
    --json  print it as JSON

    First the recorded module decides each call again; exit code 1 when it does not say what it said
    then. A call cannot be judged when the new module asks for an input that the journal does not
    have: it is counted, not guessed. After Ctrl-C what was done is printed.
    $ arq policy replay bad_words.wasm --room lobby --since 7d
    $ arq policy replay bad_words@7 --since 1d --json
    $ arq policy replay bad_words.wasm --journal lobby.ndjson --module old.wasm
    $ arq policy replay new.wasm --policy bad_words --journal j.ndjson --max-flips 0.1%`(
    calls(() => import("../../../commands/policy/policy_replay.ts"), "policyReplay"),
  ),
  command`policy record: write recorded calls into files, which arq policy test --cases runs ${BUS}
    ${JOURNAL}
    --out <dir>  the folder for the files ${NEEDED}
    --count <n>  so many at most ${positive("1 to 100000", true, 100_000)} ${{ is: 100 }}
    --policy <name>  only of this policy (default: of every policy)
    --module <file>  the module that decided; it is checked and written, too
    --redact <path>  take out what is there: data.email; repeatable ${redactPath} ${EACH}
    --json  print the result as JSON

    No two cases are alike; allowed and refused ones are half of them each, as far as there are any.
    Credentials in headers, members with such names, and tokens in texts are never written.
    $ arq policy record --journal lobby.ndjson --room lobby --count 200 --out cases
    $ arq policy record --journal j.ndjson --out cases --redact data.email --redact claim.name`(
    calls(() => import("../../../commands/policy/policy_record.ts"), "policyRecord"),
  ),
];
