/** The commands of `arq user` and `arq tenant`. */
import { command, type Definition, group, NEEDED, rows } from "./define.ts";
import { BUS, calls, room, tenant } from "./options.ts";
import { ERASED, ERASING, OF_TENANT } from "./room_history.ts";

const erase = () => import("../../commands/data/data_erase.ts");
const exported = () => import("../../commands/data/data_export.ts");

const FILE = rows`
    --out <file>  the new file, of one JSON object a line; - is stdout ${NEEDED}
    --json  say how many lines were written as JSON`;

/** `arq user` */
export const USER: readonly Definition[] = [
  group`user: what the bus keeps of a user: export, erase`,
  command`user export: write what the bus keeps of a user into a file ${BUS}
    <user>  the user's id
    ${OF_TENANT}
    ${FILE}
    --room <id>  of this room alone ${room}

    $ arq user export ann --tenant acme --out ann.ndjson`(calls(exported, "userExport")),
  command`user erase: erase what the bus keeps of a user ${BUS}
    <user>  the user's id
    ${OF_TENANT}
    ${ERASING}
    --room <id>  of this room alone ${room}
    --through  in logs that an older ArqonBus made: with all that stands before it in a room

    ${ERASED}
    $ arq user erase ann --tenant acme --dry-run
    $ arq user erase ann --tenant acme`(calls(erase, "userErase")),
];

/** `arq tenant` */
export const TENANTS: readonly Definition[] = [
  group`tenant: what the bus keeps of a tenant: export, delete`,
  command`tenant export: write what the bus keeps of a tenant into a file ${BUS}
    <tenant>  the tenant ${tenant}
    ${FILE}

    $ arq tenant export acme --out acme.ndjson`(calls(exported, "tenantExport")),
  command`tenant delete: erase all that the bus keeps of a tenant ${BUS}
    <tenant>  the tenant ${tenant}
    ${ERASING}

    ${ERASED}
    Nobody may use it meanwhile: take the tenant's tokens first, or it comes into being again.
    $ arq tenant delete acme --dry-run
    $ arq tenant delete acme --yes`(calls(erase, "tenantDelete")),
];
