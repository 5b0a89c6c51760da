/**
 * `arq policy build`, `check` and `test`, which need no bus. Their code is loaded when one of them runs, since
 * compiler and checks are large and no other command uses them.
 */
import { InvalidArgumentError } from "commander";
import { command, type Definition, EACH } from "../define.ts";
import { HOOKS } from "../../../../shield/message/verdict.ts";
import { printable, usageError } from "../../../terminal/exit.ts";
import { type Action, calls, positive, room, TENANT } from "../options.ts";

/** The configuration of the bus has the same bound. */
const FUEL_LIMIT_MAX = 1_000_000_000;
const MEMORY_PAGES_MAX = 65_536;

/** A parser of a number of pages of memory. */
export const memoryPages = positive("a whole number of pages", true, MEMORY_PAGES_MAX);
/** A parser of fuel. */
export const fuel = positive("a whole number above 0", true, FUEL_LIMIT_MAX);

type Pair<T> = readonly [name: string, value: T];

function assignment(text: string): Pair<string> {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new InvalidArgumentError("Expected NAME=VALUE.");
}

function claim(text: string): Pair<unknown> {
  const [name, value] = assignment(text);
  try {
    return [name, JSON.parse(value)];
  } catch {
    const quoted = `--claim '${printable(name)}=${JSON.stringify(value)}'`;
    throw new InvalidArgumentError(`The value is not JSON; a text has quotes: ${quoted}.`);
  }
}

const policyTest: Action = async (io, flags, [file]) => {
  if (flags.cases !== undefined) {
    const { policyCases } = await import("../../../commands/policy/policy_cases.ts");
    return await policyCases(io, file as string, flags);
  }
  if (flags.shrink === true) throw usageError("--shrink needs --cases");
  const { policyTry } = await import("../../../commands/policy/policy_try.ts");
  return await policyTry(io, file as string, flags);
};

/** What `arq policy` has for this machine. */
export const POLICY_LOCAL: readonly Definition[] = [
  command`policy build: compile a policy written in AssemblyScript
    <entry>  the policy's .ts file
    -o, --output <file>  the module (default: beside the entry, with .wasm)
    --json  print the result, or what is wrong, as JSON

    The policy imports "@arqon/policy/v2", or "@arqon/policy" for version 1 of the ABI, and files of
    its own folder. A problem is told with file, line and column, exit code 1.
    $ arq policy build no_malware.ts
    $ arq policy build src/policy.ts -o policy.wasm`(
    calls(() => import("../../../commands/policy/policy_build.ts"), "policyBuild"),
  ),
  command`policy check: say what a bus would say about a module, and what it is; needs no bus
    <file>  the WebAssembly module
    --memory-limit-pages <n>  memory in pages of 64 KiB (default: 64) ${memoryPages}
    --json  print it as JSON

    Exit code 1 when it is refused.
    $ arq policy check no_malware.wasm
    $ arq policy check policy.wasm --json`(
    calls(() => import("../../../commands/policy/policy_check.ts"), "policyCheck"),
  ),
  command`policy test: run a module on events and print what it says; needs no bus
    <file>  the WebAssembly module
    --event <file>  the data of an event; repeatable ${EACH}
    --cases <dir>  recorded cases instead, from arq policy record ${{
    without: ["event", "header", "claim"],
  }}
    --shrink  with --cases: the smallest message that still flips
    --hook <name>  what to ask ${HOOKS} ${{ is: "on_message" }}
    --header <name=value>  a header of the message or request; repeatable ${assignment} ${EACH}
    --claim <name=json>  a claim of the token; repeatable ${claim} ${EACH}
    --room <id>  room ${room} ${{ is: "lobby" }}
    ${TENANT}
    --user <id>  user ${{ is: "dev" }}
    --type <type>  type of the events ${{ is: "message" }}
    --content-type <type>  of the events (default: JSON when they are, else text)
    --runs <n>  all events so many times ${positive("1 to 1000000", true, 1_000_000)} ${{ is: 1 }}
    --fuel-limit <n>  fuel of a call (default: 10000)
      ${fuel}
    --memory-limit-pages <n>  memory in pages of 64 KiB (default: 64) ${memoryPages}
    --json  print it as JSON

    Exit code 1 when an event is refused or the policy fails. All events and runs go to one
    instance: a policy of version 1 keeps its memory, one of version 2 its keyed state, and all are
    judged at one time, so that what counts by time says the same on any machine. With --runs the time
    that is shown is the median.
    With --cases each case is asked on a fresh instance, and exit code 1 says that one is decided
    otherwise than it was.
    $ arq policy test no_malware.wasm --event clean.json --event bad.json
    $ arq policy test block_header.wasm --hook on_connect --header X-Block-Me=1
    $ arq policy test no_malware.wasm --cases cases --shrink
    $ arq policy test plan.wasm --event e.json --claim 'plan="free"' --runs 1000 --json`(
    policyTest,
  ),
];
