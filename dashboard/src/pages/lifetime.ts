// How long things last, as forms offer it: a number of minutes in words.

import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";

const hour = 60;
const day = 24 * hour;

/** For ever, as a choice. */
export const forever = "";

export const keyLifetimes = [
  { value: String(7 * day), label: "7 days" },
  { value: String(30 * day), label: "30 days" },
  { value: String(90 * day), label: "90 days" },
  { value: String(365 * day), label: "A year" },
  { value: forever, label: "Does not expire" },
];

/** How long a rotated key works on. The server's own choice is a day. */
export const overlaps = [
  { value: "0", label: "Not at all" },
  { value: String(hour), label: "An hour" },
  { value: String(day), label: "A day" },
  { value: String(7 * day), label: "7 days" },
  { value: String(30 * day), label: "30 days" },
];

export const usualOverlap = String(day);

export const denialLifetimes = [
  { value: "15", label: "15 minutes" },
  { value: String(hour), label: "An hour" },
  { value: String(day), label: "A day" },
  { value: String(7 * day), label: "7 days" },
  { value: forever, label: "Until it is lifted" },
];

/** At most a quarter of an hour: proto/warder/admin/v1/agent.proto. */
export const joinTokenLifetimes = [
  { value: "15", label: "15 minutes" },
  { value: "5", label: "5 minutes" },
  { value: "1", label: "A minute" },
];

/** The API's form of a choice; undefined: for ever. */
export function lasting(choice: string): Duration | undefined {
  return choice === forever ? undefined : durationFromMs(Number(choice) * 60_000);
}
