/** The commands of `arq policy`. */
import { InvalidArgumentError } from "commander";
import { command, type Definition, EACH, group } from "../define.ts";
import { HOOKS } from "../../../../shield/message/verdict.ts";
import { type Asked, asks, from, sentence } from "../asks.ts";
import { ANSWER, calls, count, id, matching, percentage, roomPattern } from "../options.ts";
import { TENANT, whole } from "../options.ts";
import { POLICY_LOCAL } from "./policy_local.ts";
import { POLICY_REPLAY } from "./policy_replay.ts";

// A command is loaded when it runs.
const policyChange = () => import("../../../commands/policy/policy_change.ts");
const texts = () => import("../../../answers/policy_text.ts");

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
const changes = ({ done, ...asked }: Omit<Asked, "text" | "code"> & { done: Asked["text"] }) =>
  asks({
    ...asked,
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
  command`policy deploy: upload a module and put it into a tenant's chain; the same --name replaces
    <file>  the WebAssembly module
    ${TENANT} ${ANSWER}
    --room <pattern>  room, or the beginning of one and * ${roomPattern} ${{ is: "*" }}
    --hook <name>  hook it runs at; repeatable (default: all that it has) ${hook} ${EACH}
    --order <n>  place in the chain; lower runs first ${order} ${{ is: 0 }}
    --observe  run, count and log its verdicts, but never block
    --percent <share>  share of the keys it runs for in percent, for staged rollouts ${percentage}
      ${{ is: 1, shown: "100%" }}
    --name <name>  name of the policy (default: the file's)

    $ arq policy deploy policies/build/bad_words.wasm --room 'chat-*' --hook on_message
    $ arq policy deploy new.wasm --name bad_words --observe --percent 10%`(
    calls(() => import("../../../commands/policy/policy_deploy.ts"), "policyDeploy"),
  ),
  command`policy list: a tenant's policies in the order in which they run
    ${TENANT} ${ANSWER}
    --history  earlier versions too
    --all  every tenant with policies, as this node sees them

    $ arq policy list --history
    $ arq policy list --all --json`(asks({
    route: "GET /v1/policies?tenant",
    given: ({ tenant, ...more }) => more["all"] === true ? more : { ...more, tenant },
    text: from(texts, "policiesText"),
  })),
  command`policy rollback: put an earlier version of a tenant's policies in force again
    ${TENANT} ${ANSWER}
    --to <version>  which (default: the one before; again: one more back) ${version}
    --yes  do not ask before several changes are taken back

    $ arq policy rollback
    $ arq policy rollback --to 7`(changes({
    route: "POST /v1/policies/rollback",
    body: "tenant,version=to",
    before: from(policyChange, "showWayBack"),
    done: ({ restores }) => `the policies of version ${restores} are back`,
  })),
  command`policy remove: take a policy out of a tenant's chain
    <name>  its name ${id("policy name")}
    ${TENANT} ${ANSWER}

    $ arq policy remove bad_words --tenant acme`(changes({
    route: "DELETE /v1/policies/{name}?tenant",
    done: (_, { name }) => `${name} is removed`,
  })),
  command`policy reset: start a tenant's policies anew when the bus cannot read what is stored
    ${TENANT} ${ANSWER}

    $ arq policy reset --tenant acme`(changes({
    route: "POST /v1/policies/reset",
    body: "tenant",
    done: () => "the policies are reset to none",
  })),
  command`policy quarantine: modules that no node runs because they wedged or killed a worker
    ${ANSWER}

    $ arq policy quarantine
    $ arq policy quarantine --json`(
    asks({ route: `GET ${QUARANTINE}`, text: from(texts, "quarantineText") }),
  ),
  command`policy release: let a module out of quarantine, on every node; for operators
    <sha256>  the module's, as arq policy quarantine has it ${sha256}
    ${ANSWER}

    $ arq policy release ${"0123456789abcdef".repeat(4)}`(asks({
    route: `DELETE ${QUARANTINE}/{sha256}`,
    text: sentence((_, { sha256 }) => `${sha256} is released: every node may run it again`),
  })),
  command`policy logs: print what a tenant's policies have logged on the node that answers
    ${TENANT} ${ANSWER}
    -f, --follow  print what they log from now on instead, without end
    --count <n>  the last n lines; with -f: end after n lines ${count}

    $ arq policy logs --tenant acme --count 20
    $ arq policy logs -f --tenant acme`(
    calls(() => import("../../../commands/policy/policy_logs.ts"), "policyLogs"),
  ),
];
