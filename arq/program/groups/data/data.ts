/** The command line of `arq user` and `arq tenant`; what they do is in `commands/data/`. */
import type { Command } from "commander";
import { calls, examples, id, room, withConnection, withTenant } from "../options.ts";
import type { Run } from "../options.ts";
import { ERASED, withErasing } from "../room_history.ts";

const erase = () => import("../../../commands/data/data_erase.ts");
const exported = () => import("../../../commands/data/data_export.ts");

const ofTenant = (command: Command): Command => withTenant(withConnection(command), "the tenant");

const withFile = (command: Command): Command =>
  command.requiredOption("--out <file>", "the new file, of one JSON object a line; - is stdout")
    .option("--json", "say how many lines were written as JSON");

function addUser(program: Command, run: Run): void {
  const user = program.command("user").description("what the bus keeps of a user: export, erase");
  withFile(ofTenant(user.command("export")))
    .description("write what the bus keeps of a user into a file")
    .argument("<user>", "the user's id")
    .option("--room <id>", "of this room alone", room)
    .addHelpText("after", examples("arq user export ann --tenant acme --out ann.ndjson"))
    .action(run(calls(exported, "userExport")));
  withErasing(ofTenant(user.command("erase")))
    .description("erase what the bus keeps of a user")
    .argument("<user>", "the user's id")
    .option("--room <id>", "of this room alone", room)
    .option(
      "--through",
      "in logs that an older ArqonBus made: with all that stands before it in a room",
    )
    .addHelpText(
      "after",
      ERASED +
        examples("arq user erase ann --tenant acme --dry-run", "arq user erase ann --tenant acme"),
    )
    .action(run(calls(erase, "userErase")));
}

function addTenant(program: Command, run: Run): void {
  const tenant = program.command("tenant").description(
    "what the bus keeps of a tenant: export, delete",
  );
  withFile(withConnection(tenant.command("export")))
    .description("write what the bus keeps of a tenant into a file")
    .argument("<tenant>", "the tenant", id("tenant"))
    .addHelpText("after", examples("arq tenant export acme --out acme.ndjson"))
    .action(run(calls(exported, "tenantExport")));
  withErasing(withConnection(tenant.command("delete")))
    .description("erase all that the bus keeps of a tenant")
    .argument("<tenant>", "the tenant", id("tenant"))
    .addHelpText(
      "after",
      `${ERASED}Nobody may use it meanwhile: take the tenant's tokens first, or it comes into being again.\n` +
        examples("arq tenant delete acme --dry-run", "arq tenant delete acme --yes"),
    )
    .action(run(calls(erase, "tenantDelete")));
}

/** Adds `arq user` and `arq tenant`. */
export function addData(program: Command, run: Run): void {
  addUser(program, run);
  addTenant(program, run);
}
