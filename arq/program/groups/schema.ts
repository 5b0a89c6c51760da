/**
 * The command line of `arq schema …` as commander sees it. The code of a command is in `commands/` and loaded
 * when it runs, since the code for descriptors is large and no other command uses it.
 */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { COMPATIBILITY_MODES, isSchemaId, SCHEMA_ID_RULE } from "../../../shared/schema_id.ts";
import { asks, bySubject, from, sentence, settles } from "./asks.ts";
import { calls, examples, positive, span, subjectTenant, withJson, withTenant } from "./options.ts";
import type { Run } from "./options.ts";

const texts = () => import("../../answers/schema_text.ts");
const ONE = "/v1/schemas/{id}";
const MAPPINGS = "/v1/tenants/{tenant}/mappings";
const MODES = ["enforce", "observe", "dead-letter"];
const UNKNOWN_FIELDS = ["allow", "warn", "refuse"];
const SOURCE = "a folder with .proto files, one .proto file, or a set that was built";

function schemaId(text: string): string {
  if (isSchemaId(text)) return text;
  throw new InvalidArgumentError(`That cannot be one; ${SCHEMA_ID_RULE}.`);
}

function messageName(text: string): string {
  if (/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/.test(text)) return text;
  throw new InvalidArgumentError("Expected the full name of a message: 'fleet.v1.Vehicle'.");
}

function compatibility(text: string): string {
  const mode = text.toUpperCase();
  if ((COMPATIBILITY_MODES as readonly string[]).includes(mode)) return mode;
  throw new InvalidArgumentError(`Expected one of ${COMPATIBILITY_MODES.join(", ")}.`);
}

const version = () => positive("a version, as arq schema history shows them", true, 2 ** 53);

const withOwner = (command: Command): Command => subjectTenant(withJson(command));

function withCompat(command: Command): Command {
  const what = "how versions are held to the ones before: " +
    `${COMPATIBILITY_MODES.join(", ")} (default: the schema's own, for a new one BACKWARD)`;
  return command.option("--compat <mode>", what, compatibility);
}

function eventCount(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Expected a number of events.");
}

/** The options of a check against what was really sent. */
function withTraffic(command: Command): Command {
  return subjectTenant(command)
    .option("--traffic <pattern>", "check what was sent in this room, or in rooms: 'vehicles-*'")
    .option("--journal <file>", "with --traffic: lines of a journal, not what rooms store")
    .option(
      "--since <time>",
      "with --traffic: only so long ago at most: 10m, 7d or seconds",
      span("--since"),
    )
    .option(
      "--message <name>",
      "with --traffic: what all of it must be (default: mappings)",
      messageName,
    )
    .addOption(
      new Option(
        "--unknown <what>",
        "with --message: what a field outside of the schema does (default: allow)",
      ).choices(UNKNOWN_FIELDS),
    )
    .option(
      "--max-unknown <n>",
      "with --traffic: exit code 1 when more events have no payload (default: 0)",
      eventCount,
    );
}

function unknownOption(what: string): Option {
  return new Option("--unknown <what>", what).choices(UNKNOWN_FIELDS).default("allow");
}

function addBuild(schema: Command, run: Run): void {
  schema.command("build")
    .description("compile .proto files to a gzipped FileDescriptorSet; needs no bus")
    .argument(
      "<source>",
      "a folder, whose files import each other by their paths in it, or one file",
    )
    .option("-o, --output <file>", "the set (default: the source's name with .binpb.gz)")
    .option("--json", "print the result, or what is wrong, as JSON")
    .addHelpText(
      "after",
      "\nbuf compiles. google/protobuf/… and buf/validate/validate.proto can be imported without" +
        "\nhaving them. What does not compile is told as buf does, exit code 1. A binary and the npm" +
        "\npackage bring no buf (it is 96 MB): have it on the PATH, or npm install @bufbuild/buf.\n" +
        examples("arq schema build proto", "arq schema build fleet.proto -o fleet.binpb.gz"),
    )
    .action(run(calls(() => import("../../commands/schema/schema_build.ts"), "schemaBuild")));
}

function addChanges(schema: Command, run: Run): void {
  withTraffic(withCompat(withJson(schema.command("push"))))
    .description("register a version of a schema; without a source only --compat is changed")
    .argument("[source]", SOURCE)
    .requiredOption("--id <id>", "the schema", schemaId)
    .addHelpText(
      "after",
      "\nA version that is not compatible is refused with file, message, field and rule, exit code 1." +
        "\nThe same bytes again register nothing. --compat holds from then on, for this version too.\n" +
        examples(
          "arq schema push proto --id fleet",
          "arq schema push fleet.binpb.gz --id fleet --compat FULL_TRANSITIVE",
          "arq schema push --id fleet --compat NONE",
        ),
    )
    .action(run(calls(() => import("../../commands/schema/schema_push.ts"), "schemaPush")));
  withJson(schema.command("rollback"))
    .description("put an earlier version of a schema in force again, as its next version")
    .argument("<id>", "the schema", schemaId)
    .option(
      "--to <version>",
      "which (default: the one before; again: one more back)",
      positive("a version, as arq schema list shows them", true, 999_999_999),
    )
    .addHelpText(
      "after",
      "\nCompares nothing; the history keeps every version and says who rolled back.\n" +
        examples("arq schema rollback fleet", "arq schema rollback fleet --to 3"),
    )
    .action(run(asks({
      route: `POST ${ONE}/rollback?version=to`,
      text: sentence(({ registered, version, restores }, { id }) =>
        registered === true
          ? `${id} version ${version}: what version ${restores} held is in force again`
          : `${id}: version ${version} holds that already; nothing was changed`
      ),
    })));
  withJson(schema.command("delete"))
    .description("delete a schema that nothing is mapped to, with all of its versions")
    .argument("<id>", "the schema", schemaId)
    .addHelpText(
      "after",
      "\nWhile subjects are mapped to it, it is refused with the mappings, exit code 1. A later push" +
        "\nbegins anew, under the next version number; history says who deleted what was before.\n" +
        examples("arq schema delete fleet", "arq schema delete fleet --json"),
    )
    .action(run(asks({ route: `DELETE ${ONE}`, text: from(texts, "deletionText") })));
  withTraffic(withCompat(withJson(schema.command("check"))))
    .description("say what push would say, and change nothing")
    .argument("<source>", SOURCE)
    .option("--id <id>", "the schema", schemaId)
    .addOption(new Option("--against <id>").argParser(schemaId).hideHelp())
    .addHelpText(
      "after",
      "\nExit code 1 when push would be refused. With --traffic the candidate is checked on this machine" +
        "\nagainst events that were really sent, instead of the versions before; exit code 1 when it would" +
        "\nrefuse one. With --journal and --message no bus is asked.\n" +
        examples(
          "arq schema check proto --id fleet",
          "arq schema check proto --id fleet --compat FULL --json",
          "arq schema check proto --id fleet --traffic 'vehicles-*' --since 7d",
        ),
    )
    .action(run(calls(() => import("../../commands/schema/schema_push.ts"), "schemaCheck")));
}

function addShow(schema: Command, run: Run): void {
  withJson(schema.command("list"))
    .description(
      "all schemas with their latest version, where the node that answers stands, and what other tools put and is refused",
    )
    .addHelpText("after", examples("arq schema list", "arq schema list --json"))
    .action(run(asks({ route: "GET /v1/schemas", text: from(texts, "schemasText") })));
  withJson(schema.command("history"))
    .description("the versions of a schema: when, by whom, how large")
    .argument("<id>", "the schema", schemaId)
    .addHelpText("after", examples("arq schema history fleet"))
    .action(run(asks({ route: `GET ${ONE}`, text: from(texts, "historyText") })));
  withJson(schema.command("get"))
    .description("write a version as it was registered, or as .proto text without its comments")
    .argument("<id>", "the schema", schemaId)
    .option("--version <n>", "which (default: the latest)", version())
    .option("-o, --output <path>", "a file; with --proto a folder (default: stdout)")
    .option("--proto", "as text")
    .addHelpText(
      "after",
      examples(
        "arq schema get fleet -o fleet.binpb.gz",
        "arq schema get fleet --version 2 --proto",
        "diff <(arq schema get fleet --version 1 --proto) <(arq schema get fleet --proto)",
      ),
    )
    .action(run(calls(() => import("../../commands/schema/schema_show.ts"), "schemaGet")));
}

function addMappings(schema: Command, run: Run): void {
  withOwner(schema.command("map"))
    .description("say which message the events of a room must be; the same subject replaces")
    .argument("<subject>", "a room or the beginning of one ('vehicles-*'), or a subject")
    .argument("<id>", "the schema", schemaId)
    .requiredOption("--message <name>", "full name of the message", messageName)
    .addOption(
      new Option(
        "--mode <mode>",
        "what a violation does: refuse; only count; refuse and keep a copy",
      )
        .choices(MODES).default("enforce"),
    )
    .addOption(unknownOption("fields outside of the schema"))
    .addHelpText(
      "after",
      "\nThe most specific subject that matches counts, alone. Every Shield has it in force within a" +
        "\nsecond.\n" +
        examples(
          "arq schema map 'vehicles-*' gtfs --message transit_realtime.FeedMessage",
          "arq schema map in.t.acme.r.orders orders --message shop.v1.Order --mode observe",
        ),
    )
    .action(run(settles({
      route: `PUT ${MAPPINGS}`,
      body: "subject,schema_id=id,message,mode,unknown_fields=unknown",
      given: bySubject("subject"),
      done: (_, { subject, message, id, mode }) =>
        `${subject} carries ${message} of ${id} (${mode})`,
    })));
  withOwner(schema.command("unmap"))
    .description("take a mapping away; those of the configuration stay")
    .argument("<subject>", "as it was mapped")
    .addHelpText("after", examples("arq schema unmap 'vehicles-*'"))
    .action(run(settles({
      route: `DELETE ${MAPPINGS}?subject`,
      given: bySubject("subject"),
      none: [
        ({ subject }) => `mapping for ${subject}`,
        "arq schema mappings shows them; those of the configuration stay",
      ],
      done: (_, { subject }) => `the mapping of ${subject} is removed`,
    })));
  withTenant(withJson(schema.command("mappings")))
    .description("the mappings that a tenant has set")
    .addHelpText("after", examples("arq schema mappings --tenant acme"))
    .action(run(asks({ route: `GET ${MAPPINGS}`, text: from(texts, "mappingsText") })));
}

function addValidate(schema: Command, run: Run): void {
  withJson(schema.command("validate"))
    .description("say what a bus would say of a payload; publishes nothing")
    .argument("<file>", "the data of an event")
    .option("--id <id>", "a schema of the bus", schemaId)
    .option("--local <source>", `in place of --id, needs no bus: ${SOURCE}`)
    .requiredOption("--message <name>", "full name of the message", messageName)
    .option("--version <n>", "of the schema (default: the latest)", version())
    .addOption(unknownOption("fields outside of the schema; warn names them"))
    .option(
      "--content-type <type>",
      "application/json, or else binary (default: by the file's name)",
    )
    .addHelpText(
      "after",
      "\nExit code 1 when it is not valid.\n" +
        examples(
          "arq schema validate feed.pb --id gtfs --message transit_realtime.FeedMessage",
          "arq schema validate order.json --local proto --message shop.v1.Order --unknown refuse",
        ),
    )
    .action(run(calls(() => import("../../commands/schema/schema_validate.ts"), "schemaValidate")));
}

/** Adds `arq schema` and its commands. */
export function addSchema(program: Command, run: Run): void {
  const schema = program.command("schema").description(
    "Protobuf contracts: build, register, compare, map, validate",
  );
  addBuild(schema, run);
  addChanges(schema, run);
  addShow(schema, run);
  addMappings(schema, run);
  addValidate(schema, run);
}
