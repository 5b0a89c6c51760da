/**
 * The commands of `arq policy` and `arq reducer`. Their code is loaded when one of them runs, since compiler and
 * checks are large and no other command uses them.
 */
import { InvalidArgumentError } from "commander";
import { command, type Definition, EACH, group, NEEDED, rows } from "./define.ts";
import { HOOKS } from "../../../shared/records/verdict.ts";
import { printable } from "../../terminal/exit.ts";
import {
  ANSWER,
  BUS,
  calls,
  count,
  id,
  matching,
  moment,
  percentage,
  positive,
  room,
  roomPattern,
  span,
  TENANT,
  tenant,
  whole,
} from "./options.ts";
import { parseRedactPath, type RedactPath } from "../../replay/redaction.ts";
import type { CallBound } from "../../replay/tally.ts";
import { type Asked, asks, either, from, sentence } from "./asks.ts";

// A command is loaded when it runs.
const policyBuild = () => import("../../commands/policy/policy_build.ts");
const policyCheck = () => import("../../commands/policy/policy_check.ts");
const policyReplay = () => import("../../commands/policy/policy_replay.ts");
const policyCasesCommands = () => import("../../commands/policy/policy_cases.ts");
const policyDeploy = () => import("../../commands/policy/policy_deploy.ts");
const reducerTry = () => import("../../commands/reducer/reducer_try.ts");
const reducerTypes = () => import("../../commands/reducer/reducer_types.ts");
const policyChange = () => import("../../commands/policy/policy_change.ts");
const texts = () => import("../../answers/policy_text.ts");

/** The configuration of the bus has the same bound. */
const FUEL_LIMIT_MAX = 1_000_000_000;
const MEMORY_PAGES_MAX = 65_536;

const memoryPages = positive("a whole number of pages", true, MEMORY_PAGES_MAX);
const fuel = positive("a whole number above 0", true, FUEL_LIMIT_MAX);

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

/** The commands of `arq policy` that need no bus. */
const POLICY_LOCAL: readonly Definition[] = [
  command`policy build: compile a policy written in AssemblyScript
    <entry>  the policy's .ts file
    -o, --output <file>  the module (default: beside the entry, with .wasm)
    --json  print the result, or the problems, as JSON
    
    The policy imports "@arqon/policy/v2", or "@arqon/policy" for version 1 of the ABI, and files of
    its own folder. It reports problems with file, line and column, with exit code 1.
    $ arq policy build no_malware.ts
    $ arq policy build src/policy.ts -o policy.wasm`(calls(policyBuild, "policyBuild")),
  command`policy check: print whether a bus would accept a module, and its properties; needs no bus
    <file>  the WebAssembly module
    --memory-limit-pages <n>  memory in pages of 64 KiB (default: 64) ${memoryPages}
    --json  print it as JSON

    Exit code 1 if it would be refused.
    $ arq policy check no_malware.wasm
    $ arq policy check policy.wasm --json`(calls(policyCheck, "policyCheck")),
  command`policy test: run a module on events and print its verdicts; needs no bus
    <file>  the WebAssembly module
    --event <file>  the data of an event; repeatable ${EACH}
    --cases <dir>  recorded cases instead, from arq policy record ${{
    without: ["event", "header", "claim"],
  }}
    --shrink  with --cases: the smallest message that still flips
    --hook <name>  the hook to call ${HOOKS} ${{ is: "on_message" }}
    --header <name=value>  a header of the message or request; repeatable ${assignment} ${EACH}
    --claim <name=json>  a claim of the token; repeatable ${claim} ${EACH}
    --room <id>  room ${room} ${{ is: "lobby" }}
    ${TENANT}
    --user <id>  user ${{ is: "dev" }}
    --type <type>  type of the events ${{ is: "message" }}
    --content-type <type>  of the events (default: JSON for valid JSON, otherwise text)
    --runs <n>  repeat all events n times ${positive("1 to 1000000", true, 1_000_000)} ${{ is: 1 }}
    --fuel-limit <n>  fuel of a call (default: 10000)
      ${fuel}
    --memory-limit-pages <n>  memory in pages of 64 KiB (default: 64) ${memoryPages}
    --json  print it as JSON

    Exit code 1 if an event is refused or the policy fails. All events and runs use one instance: a
    policy of version 1 keeps its memory, one of version 2 its keyed state. They have the same time,
    so that policies that count by time give the same result on any machine. With --runs it shows
    the median time.
    With --cases each case runs on a fresh instance, and exit code 1 means that a decision differs
    from the recorded one.
    $ arq policy test no_malware.wasm --event clean.json --event bad.json
    $ arq policy test block_header.wasm --hook on_connect --header X-Block-Me=1
    $ arq policy test no_malware.wasm --cases cases --shrink
    $ arq policy test plan.wasm --event e.json --claim 'plan="free"' --runs 1000 --json`(
    either("cases", calls(policyCasesCommands, "policyCases"), calls(policyCheck, "policyTry")),
  ),
];

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

/** The options that select a part of a journal. */
const JOURNAL = rows`
    --tenant <id>  tenant (default: default; of a file: every one) ${tenant}
    --journal <file>  a file of arq journal export, - is stdin (default: the bus's journal)
    --room <pattern>  only this room, or rooms with this prefix: 'chat-*' ${roomPattern}
    --since <time>  only the last 10m, 1h, 7d or seconds ${span} ${{ without: "from" }}
    --from <time>  only from this time on: 2026-11-22T10:00:00Z ${moment}
    --to <time>  only before this time ${moment}`;

const POLICY_REPLAY: readonly Definition[] = [
  command`policy replay: print the decisions of a module about recorded calls; runs on this machine ${BUS}
    <module>  the new module: a .wasm file, or NAME[@VERSION] of the bus's policies
    ${JOURNAL}
    --policy <name>  the policy whose calls are repeated (default: the module's name)
    --module <file>  a module named in records; repeatable ${EACH}
    --max-flips <n>  exit code 6 if there are more: a number, or 0.1% ${callBound}
    --max-unknown <n>  the same for calls that cannot be judged (default: 0 with --max-flips) ${callBound}
    --flips <file>  write every flip into this new file, one JSON object a line
    --memory-limit-pages <n>  memory in pages of 64 KiB (default: 64) ${memoryPages}
    --json  print it as JSON

    First the recorded module repeats each call; exit code 1 if its decision differs from the
    recorded one. A call cannot be judged if the new module reads an input that the journal does not
    have: it is counted, not guessed. After Ctrl-C it prints the results so far.
    $ arq policy replay bad_words.wasm --room lobby --since 7d
    $ arq policy replay bad_words@7 --since 1d --json
    $ arq policy replay bad_words.wasm --journal lobby.ndjson --module old.wasm
    $ arq policy replay new.wasm --policy bad_words --journal j.ndjson --max-flips 0.1%`(
    calls(policyReplay, "policyReplay"),
  ),
  command`policy record: write recorded calls into files for arq policy test --cases ${BUS}
    ${JOURNAL}
    --out <dir>  the folder for the files ${NEEDED}
    --count <n>  the most cases ${positive("1 to 100000", true, 100_000)} ${{ is: 100 }}
    --policy <name>  only of this policy (default: of every policy)
    --module <file>  the module that decided; it is checked and written, too
    --redact <path>  remove this value: data.email; repeatable ${redactPath} ${EACH}
    --json  print the result as JSON

    All cases are different; half of them are allowed ones and half refused ones, if there are
    enough. Credentials in headers, members with such names, and tokens in texts are never written.
    $ arq policy record --journal lobby.ndjson --room lobby --count 200 --out cases
    $ arq policy record --journal j.ndjson --out cases --redact data.email --redact claim.name`(
    calls(policyCasesCommands, "policyRecord"),
  ),
];

const QUARANTINE = "/v1/policies/quarantine";
/** The bus has the same bound. */
const ORDER_MAX = 1_000_000;

function order(text: string): number {
  const number = Number(text);
  if (/^-?\d+$/.test(text) && Math.abs(number) <= ORDER_MAX) return number;
  throw new InvalidArgumentError("Expected a whole number; lower ones run first.");
}

const version = whole(
  "a version, as arq policy list --history shows them",
  Number.MAX_SAFE_INTEGER,
);

const sha256 = matching(
  /^[0-9a-f]{64}$/,
  "Expected 64 lowercase hex digits, as arq policy quarantine has them.",
);

function hook(text: string): string {
  if (HOOKS.some((one) => one === text)) return text;
  throw new InvalidArgumentError(`Expected one of ${HOOKS.join(", ")}.`);
}

/** The action of a plain command that changes a tenant's policies. */
const changes = ({ done, ...rest }: Omit<Asked, "text" | "code"> & { done: Asked["text"] }) =>
  asks({
    ...rest,
    text: async (answer, given, io) => {
      const { changeText } = await texts();
      return changeText(answer, await done(answer, given, io), given["took_ms"]);
    },
    code: from(policyChange, "changeExit"),
  });

/** `arq policy` */
export const POLICY: readonly Definition[] = [
  group`policy: build, check and try policies; manage those of a running bus`,
  ...POLICY_LOCAL,
  ...POLICY_REPLAY,
  command`policy deploy: upload a module and add it to a tenant's chain; replaces a policy of that --name
    <file>  the WebAssembly module
    ${TENANT} ${ANSWER}
    --room <pattern>  a room, or a prefix with * ${roomPattern} ${{ is: "*" }}
    --hook <name>  hook it runs at; repeatable (default: all of the module's hooks) ${hook} ${EACH}
    --order <n>  position in the chain; lower runs first ${order} ${{ is: 0 }}
    --observe  run, count and log its verdicts, but never block
    --percent <share>  percentage of the keys that it runs for, for staged rollouts ${percentage}
      ${{ is: 1, shown: "100%" }}
    --name <name>  name of the policy (default: the file's)

    $ arq policy deploy policies/build/bad_words.wasm --room 'chat-*' --hook on_message
    $ arq policy deploy new.wasm --name bad_words --observe --percent 10%`(
    calls(policyDeploy, "policyDeploy"),
  ),
  command`policy list: list a tenant's policies in the order in which they run
    ${TENANT} ${ANSWER}
    --history  also list earlier versions
    --all  every tenant with policies, as known to this node

    $ arq policy list --history
    $ arq policy list --all --json`(asks({
    route: "GET /v1/policies?tenant",
    given: ({ tenant, ...more }) => more["all"] === true ? more : { ...more, tenant },
    text: from(texts, "policiesText"),
  })),
  command`policy rollback: restore an earlier version of a tenant's policies
    ${TENANT} ${ANSWER}
    --to <version>  the version (default: the previous one; repeated: one further back) ${version}
    --yes  do not ask before several changes are undone

    $ arq policy rollback
    $ arq policy rollback --to 7`(changes({
    route: "POST /v1/policies/rollback",
    body: "tenant,version=to",
    before: from(policyChange, "showWayBack"),
    done: ({ restores }) => `the policies of version ${restores} are back`,
  })),
  command`policy remove: remove a policy from a tenant's chain
    <name>  its name ${id("policy name")}
    ${TENANT} ${ANSWER}

    $ arq policy remove bad_words --tenant acme`(changes({
    route: "DELETE /v1/policies/{name}?tenant",
    done: (_, { name }) => `${name} is removed`,
  })),
  command`policy reset: reset a tenant's policies if the bus cannot read the stored ones
    ${TENANT} ${ANSWER}

    $ arq policy reset --tenant acme`(changes({
    route: "POST /v1/policies/reset",
    body: "tenant",
    done: () => "the policies are reset to none",
  })),
  command`policy quarantine: list modules that no node runs because they blocked or killed a worker
    ${ANSWER}

    $ arq policy quarantine
    $ arq policy quarantine --json`(
    asks({ route: `GET ${QUARANTINE}`, text: from(texts, "quarantineText") }),
  ),
  command`policy release: release a module from quarantine, on every node; for operators
    <sha256>  the module's, as arq policy quarantine prints it ${sha256}
    ${ANSWER}

    $ arq policy release ${"0123456789abcdef".repeat(4)}`(asks({
    route: `DELETE ${QUARANTINE}/{sha256}`,
    text: sentence((_, { sha256 }) => `${sha256} is released: every node may run it again`),
  })),
  command`policy logs: print a tenant's policy logs of the answering node
    ${TENANT} ${ANSWER}
    -f, --follow  follow the logs from now on instead
    --count <n>  the last n lines; with -f: end after n lines ${count}

    $ arq policy logs --tenant acme --count 20
    $ arq policy logs -f --tenant acme`(calls(policyChange, "policyLogs")),
];

/** `arq reducer` */
export const REDUCER: readonly Definition[] = [
  group`reducer: rooms as programs, on this machine: build, test, types`,
  command`reducer build: compile a reducer written in AssemblyScript
    <entry>  the reducer's .ts file
    -o, --output <file>  the module (default: beside the entry, with .wasm)
    --json  print the result, or the problems, as JSON
    
    The reducer imports "@arqon/reducer" and files of its own folder. It reports problems with file,
    line and column, with exit code 1.
    $ arq reducer build auction.ts
    $ arq reducer build src/room.ts -o room.wasm`(calls(policyBuild, "reducerBuild")),
  command`reducer test: apply a module to the commands of a file and print each result
    <file>  the WebAssembly module
    --commands <file>  commands, one JSON object a line ${NEEDED}
    --compare <file>  also run another module on the same log, and print the differences
    --begin <file>  a snapshot to start from (default: an empty room)
    --snapshot <file>  write the final state to this file
    --values  print every value at the end
    --room <id>  room ${room} ${{ is: "lobby" }}
    --seed <n>  seed of the commands' randomness ${positive("a number", true, 2 ** 31)} ${{
    is: 1,
  }}
    --fuel-limit <n>  fuel of a command ${fuel} ${{ is: 10_000 }}
    --memory-limit-pages <n>  memory in pages of 64 KiB
      ${memoryPages} ${{ is: 64 }}
    --json  print a JSON object for each entry, and one at the end

    The same module and commands give the same digests on every machine. Exit code 1 if a command
    fails, or if the two modules differ.
    $ arq reducer test auction.wasm --commands bids.ndjson --values
    $ arq reducer test new.wasm --compare auction.wasm --commands bids.ndjson
    $ arq reducer test auction.wasm --commands more.ndjson --begin at-noon.snapshot --json`(
    calls(reducerTry, "reducerTry"),
  ),
  command`reducer types: generate types for clients, or for the reducer, from a room's schema
    <schema>  the schema, or a module that has one
    --out <file>  file of TypeScript (.ts) or Python (.py) to write ${NEEDED}
    --guest  AssemblyScript for the reducer itself: data, answers and events of commands
    --check  write nothing; exit code 1 if the file differs
    --json  print the generated file as JSON

    The types are for reduced<Sale>(room) of "@arqon/sdk/reducers", or sale(room) in Python: the
    compiler then checks the names of commands, their data and answers, events and values.
    $ arq reducer types sale.schema.json --out sale_types.ts
    $ arq reducer types sale.wasm --out sale_types.py
    $ arq reducer types sale.schema.json --guest --out src/sale_types.ts`(
    calls(reducerTypes, "reducerTypes"),
  ),
];
