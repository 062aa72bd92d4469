// A handful of line drawings. They only repeat what the text beside them says,
// so they are hidden from assistive technology.

const shapes = {
  allow: "M4 12.5 9.5 18 20 6.5",
  deny: "M6 6l12 12M18 6 6 18",
  wait: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3 3",
  changed: "M12 4 2.5 20h19zM12 10v4m0 3v.01",
  off: "M12 3v9M7 6a8 8 0 1 0 10 0",
  missing: "M5 12h14",
  unknown: "M9 9a3 3 0 1 1 4 2.8c-.7.3-1 .9-1 1.7v.5m0 3v.01",
  running: "M4 12a8 8 0 0 1 14-5.3M20 12a8 8 0 0 1-14 5.3M18 3v4h-4M6 21v-4h4",
  shield: "M12 3 4 6v6c0 5 3.5 8 8 9.5 4.5-1.5 8-4.5 8-9.5V6z",
  added: "M12 5v14M5 12h14",
} as const;

export type IconName = keyof typeof shapes;

export function Icon({ name, size = 14 }: { name: IconName; size?: number }) {
  return (
    <svg
      aria-hidden="true"
      focusable="false"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={2.5}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={shapes[name]} />
    </svg>
  );
}
