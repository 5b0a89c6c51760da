/** A room program: its past by the slider, entry by entry. */
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { openConsole, type Scenario } from "./world.ts";

const looks: Scenario = {
  name: "a slider shows a room's values after each entry of its log, and the changes of the entry",
  async run(world) {
    const token = await world.bus.tokenFor({ tenant: "past", user: "ann" });
    await using ann = await connect({ url: world.bus.url, token, request_timeout_ms: 60_000 });
    const room = reduced<{ add: [number | string, number] }>(ann.room("sum-1"));
    for (let at = 1; at <= 20; at++) await room.call("add", at);
    await room.call("add", "<img src=x onerror=hacked>").catch(() => {});
    await using console = await openConsole(world, { at: "#/rooms/past/sum-1" });
    const { page } = console;
    const past = page.getByRole("region", { name: "Past", exact: true });
    await past.getByText("Not read yet.").waitFor();
    await past.getByRole("button", { name: "Look back" }).click();
    await past.getByText("After entry 21 of 21").waitFor();
    await past.getByText("Entry 21, by ann: add <img src=x onerror=hacked>; rejected").waitFor();
    await past.getByText("This entry changed no value.").waitFor();
    await past.getByRole("button", { name: "Back" }).click();
    await past.getByText("Entry 20, by ann: add 20; applied; 1 event: counted.").waitFor();
    const changes = past.getByRole("table", { name: "Changed by this entry" });
    await changes.getByRole("row", { name: "total 190 210" }).waitFor();
    // The same event as dragging the slider to a distant position.
    await past.getByRole("slider", { name: "After entry" }).fill("4");
    await past.getByText("Entry 4, by ann: add 4").waitFor();
    const values = past.getByRole("table", { name: "Values after it" });
    await values.getByRole("row", { name: "total 10", exact: true }).waitFor();
    await past.getByRole("slider").press("Home");
    await past.getByText("Before the first entry.").waitFor();
    await past.getByText("The room had no value at that time.").waitFor();
    await past.getByRole("button", { name: "Forward" }).click();
    await changes.getByRole("row", { name: "total – 1" }).waitFor();
    await page.goto(`${world.bus.admin_url}/console/#/rooms/past/hall`);
    await page.getByRole("region", { name: "Class" }).waitFor();
    await past.waitFor({ state: "detached" });
  },
};

/** In the order in which they run. */
export const REDUCER_SCENARIOS: readonly Scenario[] = [looks];
