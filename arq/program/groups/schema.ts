/** The commands of `arq schema`. The code for descriptors is large and used by no other command. */
import { InvalidArgumentError } from "commander";
import { command, type Definition, group, HIDDEN, NEEDED, rows } from "./define.ts";
import { COMPATIBILITY_MODES, isSchemaId, SCHEMA_ID_RULE } from "../../../shared/schema_id.ts";
import { asks, bySubject, from, sentence, settles } from "./asks.ts";
import { ANSWER, calls, matching, positive, span, SUBJECT_TENANT, TENANT } from "./options.ts";
import { whole } from "./options.ts";

// A command is loaded when it runs.
const schemaCommands = () => import("../../commands/schema/schema_push.ts");
const texts = () => import("../../answers/schema_text.ts");
const ONE = "/v1/schemas/{id}";
const MAPPINGS = "/v1/tenants/{tenant}/mappings";
const MODES = ["enforce", "observe", "dead-letter"];
const UNKNOWN_FIELDS = ["allow", "warn", "refuse"];
const SOURCE = "a folder with .proto files, one .proto file, or a built set";

function schemaId(text: string): string {
  if (isSchemaId(text)) return text;
  throw new InvalidArgumentError(`Not a schema id; ${SCHEMA_ID_RULE}.`);
}

const messageName = matching(
  /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/,
  "Expected the full name of a message: 'fleet.v1.Vehicle'.",
);

function compatibility(text: string): string {
  const mode = text.toUpperCase();
  if ((COMPATIBILITY_MODES as readonly string[]).includes(mode)) return mode;
  throw new InvalidArgumentError(`Expected one of ${COMPATIBILITY_MODES.join(", ")}.`);
}

const version = positive("a version, as arq schema history shows them", true, 2 ** 53);
const eventCount = whole("a number of events");

const COMPAT = rows`
    --compat <mode>  the required compatibility with earlier versions: ${
  COMPATIBILITY_MODES.join(", ")
}
      (default: the schema's own, for a new one BACKWARD) ${compatibility}`;

/** The options of a check against recorded traffic. */
const TRAFFIC = rows`
    ${SUBJECT_TENANT}
    --traffic <pattern>  check the events of this room, or of rooms: 'vehicles-*'
    --journal <file>  with --traffic: lines of a journal instead of stored messages
    --since <time>  with --traffic: only the last 10m, 7d or seconds ${span}
    --message <name>  with --traffic: the message type of all events (default: mappings) ${messageName}
    --unknown <what>  with --message: the handling of fields outside of the schema (default: allow)
      ${UNKNOWN_FIELDS}
    --max-unknown <n>  with --traffic: exit code 1 if more events lack a payload (default: 0) ${eventCount}`;

/** `arq schema` */
export const SCHEMA: readonly Definition[] = [
  group`schema: Protobuf contracts: build, register, compare, map, validate`,
  command`schema build: compile .proto files to a gzipped FileDescriptorSet; needs no bus
    <source>  a folder, whose files import each other by their paths in it, or one file
    -o, --output <file>  the set (default: the source's name with .binpb.gz)
    --json  print the result, or the problems, as JSON

    buf compiles. google/protobuf/… and buf/validate/validate.proto can be imported without copies
    of them. Compile errors are reported as by buf, with exit code 1. The binary and the npm package
    do not contain buf (96 MB): have it on the PATH, or npm install @bufbuild/buf.
    $ arq schema build proto
    $ arq schema build fleet.proto -o fleet.binpb.gz`(calls(schemaCommands, "schemaBuild")),
  command`schema push: register a version of a schema; without a source it only changes --compat
    [source]  ${SOURCE}
    ${ANSWER}
    ${COMPAT} ${TRAFFIC}
    --id <id>  the schema ${schemaId} ${NEEDED}

    An incompatible version is refused with file, message, field and rule, with exit code 1. Pushing
    the same bytes again registers nothing. --compat applies from then on, also to this version.
    $ arq schema push proto --id fleet
    $ arq schema push fleet.binpb.gz --id fleet --compat FULL_TRANSITIVE
    $ arq schema push --id fleet --compat NONE`(calls(schemaCommands, "schemaPush")),
  command`schema rollback: restore an earlier version of a schema, as its next version
    <id>  the schema ${schemaId}
    ${ANSWER}
    --to <version>  the version (default: the previous one; repeated: one further back)
      ${positive("a version, as arq schema list shows them", true, 999_999_999)}

    It checks no compatibility; the history keeps every version and the user who rolled back.
    $ arq schema rollback fleet
    $ arq schema rollback fleet --to 3`(asks({
    route: `POST ${ONE}/rollback?version=to`,
    text: sentence(({ registered, version, restores }, { id }) =>
      registered === true
        ? `${id} version ${version}: the content of version ${restores} is in force again`
        : `${id}: version ${version} has that content already; nothing was changed`
    ),
  })),
  command`schema delete: delete a schema without mappings, with all its versions
    <id>  the schema ${schemaId}
    ${ANSWER}

    While subjects are mapped to it, it is refused with the mappings, with exit code 1. A later push
    starts a new schema with the next version number; the history has the user who deleted it.
    $ arq schema delete fleet
    $ arq schema delete fleet --json`(
    asks({ route: `DELETE ${ONE}`, text: from(texts, "deletionText") }),
  ),
  command`schema check: run the checks of push without changing anything
    <source>  ${SOURCE}
    ${ANSWER}
    ${COMPAT} ${TRAFFIC}
    --id <id>  the schema ${schemaId}
    --against <id>  ${schemaId} ${HIDDEN}

    Exit code 1 if push would be refused. With --traffic the candidate is checked on this machine
    against real events, instead of earlier versions; exit code 1 if it would refuse one. With
    --journal and --message it needs no bus.
    $ arq schema check proto --id fleet
    $ arq schema check proto --id fleet --compat FULL --json
    $ arq schema check proto --id fleet --traffic 'vehicles-*' --since 7d`(
    calls(schemaCommands, "schemaCheck"),
  ),
  command`schema list: list all schemas with their latest version, the answering node's state, and refused versions of other tools
    ${ANSWER}

    $ arq schema list
    $ arq schema list --json`(asks({ route: "GET /v1/schemas", text: from(texts, "schemasText") })),
  command`schema history: list the versions of a schema with time, author and size
    <id>  the schema ${schemaId}
    ${ANSWER}

    $ arq schema history fleet`(asks({ route: `GET ${ONE}`, text: from(texts, "historyText") })),
  command`schema get: write a version as registered, or as .proto text without comments
    <id>  the schema ${schemaId}
    ${ANSWER}
    --version <n>  the version (default: the latest) ${version}
    -o, --output <path>  a file; with --proto a folder (default: stdout)
    --proto  as text

    $ arq schema get fleet -o fleet.binpb.gz
    $ arq schema get fleet --version 2 --proto
    $ diff <(arq schema get fleet --version 1 --proto) <(arq schema get fleet --proto)`(
    calls(schemaCommands, "schemaGet"),
  ),
  command`schema map: map the events of a room to a message type; replaces the mapping of that subject
    <subject>  a room or a prefix ('vehicles-*'), or a subject
    <id>  the schema ${schemaId}
    ${ANSWER} ${SUBJECT_TENANT}
    --message <name>  full name of the message ${messageName} ${NEEDED}
    --mode <mode>  the effect of a violation: refuse; only count; refuse and keep a copy ${MODES}
      ${{ is: "enforce" }}
    --unknown <what>  fields outside of the schema ${UNKNOWN_FIELDS} ${{ is: "allow" }}

    Only the most specific matching subject applies. Every Shield applies it within a second.
    $ arq schema map 'vehicles-*' gtfs --message transit_realtime.FeedMessage
    $ arq schema map in.t.acme.r.orders orders --message shop.v1.Order --mode observe`(settles({
    route: `PUT ${MAPPINGS}`,
    body: "subject,schema_id=id,message,mode,unknown_fields=unknown",
    given: bySubject("subject"),
    done: (_, { subject, message, id, mode }) => `${subject} carries ${message} of ${id} (${mode})`,
  })),
  command`schema unmap: remove a mapping; mappings of the configuration stay
    <subject>  the mapped subject
    ${ANSWER} ${SUBJECT_TENANT}

    $ arq schema unmap 'vehicles-*'`(settles({
    route: `DELETE ${MAPPINGS}?subject`,
    given: bySubject("subject"),
    none: [
      ({ subject }) => `mapping for ${subject}`,
      "arq schema mappings shows them; those of the configuration stay",
    ],
    done: (_, { subject }) => `the mapping of ${subject} is removed`,
  })),
  command`schema mappings: list the mappings that a tenant has set
    ${ANSWER} ${TENANT}

    $ arq schema mappings --tenant acme`(
    asks({ route: `GET ${MAPPINGS}`, text: from(texts, "mappingsText") }),
  ),
  command`schema validate: validate a payload as the bus does; publishes nothing
    <file>  the data of an event
    ${ANSWER}
    --id <id>  a schema of the bus ${schemaId}
    --local <source>  instead of --id, needs no bus: a folder with .proto files, one .proto file, or a
      built set
    --message <name>  full name of the message ${messageName} ${NEEDED}
    --version <n>  of the schema (default: the latest) ${version}
    --unknown <what>  fields outside of the schema; warn names them ${UNKNOWN_FIELDS} ${{
    is: "allow",
  }}
    --content-type <type>  application/json, otherwise binary (default: by the file's name)

    Exit code 1 if it is invalid.
    $ arq schema validate feed.pb --id gtfs --message transit_realtime.FeedMessage
    $ arq schema validate order.json --local proto --message shop.v1.Order --unknown refuse`(
    calls(schemaCommands, "schemaValidate"),
  ),
];
