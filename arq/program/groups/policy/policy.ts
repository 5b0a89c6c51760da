/** The command line of `arq policy …` as commander sees it; what a command does is in `commands/`. */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { HOOKS } from "../../../../shield/message/verdict.ts";
import { asks, from, sentence } from "../asks.ts";
import type { Asked } from "../asks.ts";
import { calls, count, examples, id, percentage, roomPattern } from "../options.ts";
import { withJson, withTenant } from "../options.ts";
import type { Run } from "../options.ts";
import { addLocalPolicy } from "./policy_local.ts";
import { addRecord, addReplay } from "./policy_replay.ts";

// A command is loaded when it runs.
const policyChange = () => import("../../../commands/policy/policy_change.ts");
const policyDeploy = () => import("../../../commands/policy/policy_deploy.ts");
const policyLogs = () => import("../../../commands/policy/policy_logs.ts");
const texts = () => import("../../../answers/policy_text.ts");

const QUARANTINE = "/v1/policies/quarantine";
/** The bus has the same bound. */
const ORDER_MAX = 1_000_000;

function order(text: string): number {
  const number = Number(text);
  if (/^-?\d+$/.test(text) && Math.abs(number) <= ORDER_MAX) return number;
  throw new InvalidArgumentError("Expected a whole number; lower ones run first.");
}

function version(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError("Expected a version, as arq policy list --history shows them.");
}

function hook(text: string, before: readonly string[] = []): readonly string[] {
  if (HOOKS.some((one) => one === text)) return [...before, text];
  throw new InvalidArgumentError(`Expected one of ${HOOKS.join(", ")}.`);
}

const withOwner = (command: Command): Command => withJson(withTenant(command));

function addDeploy(policy: Command, run: Run): void {
  withOwner(policy.command("deploy"))
    .description("upload a module and put it into a tenant's chain; the same --name replaces")
    .argument("<file>", "the WebAssembly module")
    .option("--room <pattern>", "room, or the beginning of one and *", roomPattern, "*")
    .option("--hook <name>", "hook it runs at; repeatable (default: all that it has)", hook)
    .option("--order <n>", "place in the chain; lower runs first", order, 0)
    .option("--observe", "run, count and log its verdicts, but never block")
    .addOption(
      new Option(
        "--percent <share>",
        "share of the keys it runs for in percent, for staged rollouts",
      )
        .argParser(percentage).default(1, "100%"),
    )
    .option("--name <name>", "name of the policy (default: the file's)")
    .addHelpText(
      "after",
      examples(
        "arq policy deploy policies/build/bad_words.wasm --room 'chat-*' --hook on_message",
        "arq policy deploy new.wasm --name bad_words --observe --percent 10%",
      ),
    )
    .action(run(calls(policyDeploy, "policyDeploy")));
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

function addChanges(policy: Command, run: Run): void {
  withOwner(policy.command("rollback"))
    .description("put an earlier version of a tenant's policies in force again")
    .option("--to <version>", "which (default: the one before; again: one more back)", version)
    .option("--yes", "do not ask before several changes are taken back")
    .addHelpText("after", examples("arq policy rollback", "arq policy rollback --to 7"))
    .action(run(changes({
      route: "POST /v1/policies/rollback",
      body: "tenant,version=to",
      before: from(policyChange, "showWayBack"),
      done: ({ restores }) => `the policies of version ${restores} are back`,
    })));
  withOwner(policy.command("remove"))
    .description("take a policy out of a tenant's chain")
    .argument("<name>", "its name", id("policy name"))
    .addHelpText("after", examples("arq policy remove bad_words --tenant acme"))
    .action(run(changes({
      route: "DELETE /v1/policies/{name}?tenant",
      done: (_, { name }) => `${name} is removed`,
    })));
  withOwner(policy.command("reset"))
    .description("start a tenant's policies anew when the bus cannot read what is stored")
    .addHelpText("after", examples("arq policy reset --tenant acme"))
    .action(run(changes({
      route: "POST /v1/policies/reset",
      body: "tenant",
      done: () => "the policies are reset to none",
    })));
}

function sha256(text: string): string {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new InvalidArgumentError(
    "Expected 64 lowercase hex digits, as arq policy quarantine has them.",
  );
}

function addQuarantine(policy: Command, run: Run): void {
  withJson(policy.command("quarantine"))
    .description("modules that no node runs because they wedged or killed a worker")
    .addHelpText("after", examples("arq policy quarantine", "arq policy quarantine --json"))
    .action(run(asks({ route: `GET ${QUARANTINE}`, text: from(texts, "quarantineText") })));
  withJson(policy.command("release"))
    .description("let a module out of quarantine, on every node; for operators")
    .argument("<sha256>", "the module's, as arq policy quarantine has it", sha256)
    .addHelpText("after", examples(`arq policy release ${"0123456789abcdef".repeat(4)}`))
    .action(run(asks({
      route: `DELETE ${QUARANTINE}/{sha256}`,
      text: sentence((_, { sha256 }) => `${sha256} is released: every node may run it again`),
    })));
}

/** Adds `arq policy` and its commands. */
export function addPolicy(program: Command, run: Run): void {
  const policy = program.command("policy").description(
    "build, check and try policies; manage those of a running bus",
  );
  addLocalPolicy(policy, run);
  addReplay(policy, run);
  addRecord(policy, run);
  addDeploy(policy, run);
  withOwner(policy.command("list"))
    .description("a tenant's policies in the order in which they run")
    .option("--history", "earlier versions too")
    .option("--all", "every tenant with policies, as this node sees them")
    .addHelpText("after", examples("arq policy list --history", "arq policy list --all --json"))
    .action(run(asks({
      route: "GET /v1/policies?tenant",
      given: ({ tenant, ...more }) => more["all"] === true ? more : { ...more, tenant },
      text: from(texts, "policiesText"),
    })));
  addChanges(policy, run);
  addQuarantine(policy, run);
  withOwner(policy.command("logs"))
    .description("print what a tenant's policies have logged on the node that answers")
    .option("-f, --follow", "print what they log from now on instead, without end")
    .option(
      "--count <n>",
      "the last n lines; with -f: end after n lines",
      count,
    )
    .addHelpText(
      "after",
      examples("arq policy logs --tenant acme --count 20", "arq policy logs -f --tenant acme"),
    )
    .action(run(calls(policyLogs, "policyLogs")));
}
