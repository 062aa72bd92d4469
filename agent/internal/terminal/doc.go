// Package terminal shows what an agent does to whoever sits before it.
//
//	uplink, inventory, calls ──look, 4 times a second──┐
//	slog ──▶ Journal (the last 1,000 lines) ───────────┼─▶ State ─▶ model ──View──▶ Screen
//	   └──▶ stderr, unless that is the same terminal   │             ▲
//	                                      keys, sizes ─┘─────────────┘
//
// The model is a function of the messages that it got: it reads no clock and asks nobody. What it shows comes from servers,
// nodes and their errors. All of it passes through one type, clean, on its way to the screen: it can neither move the cursor
// nor wrap a line.
//
// On a wide screen all four panes are shown, else one at a time:
//
//	┌ header: agent, control plane ┐     ┌ header ──────────────────────┐
//	│ tabs                         │     ├ Nodes ───────┬ Servers ──────┤
//	│ pane                         │     ├ Calls ───────┼ Logs ─────────┤
//	│ keys                         │     └ keys ────────┴───────────────┘
//
// Without a terminal there is no view, and logs go where they always go.
package terminal
