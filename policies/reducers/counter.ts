// Counters by name: "add" adds a whole number to the one that the command names, "reset" is for admins.
import { Command, emit, on, readNumber, reject, remove, scan, write } from "../reducer_sdk/mod.ts";

on("add", (c: Command) => {
  const total = readNumber("total") + c.number;
  write("total", total.toString());
  write("user/" + c.user, (readNumber("user/" + c.user) + c.number).toString());
  emit("counted", total.toString());
  c.answer(total.toString());
});

on("reset", (c: Command) => {
  if (c.role != "admin") reject("only an admin resets", 403);
  const counts = scan("user/");
  for (let at = 0; at < counts.length; at++) remove(counts[at].key);
  remove("total");
  emit("reset", "");
});
