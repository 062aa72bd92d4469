// Package calls keeps the last calls of an agent for people who look.
//
//	tunnel ──▶ Log.Watch ──▶ inventory ──▶ server
//	              │  what was asked, what came back
//	              ▼
//	            Log (the last 500) ──▶ terminal
//
// It sees every call once, since all come by one handler. An agent at which nobody looks has no Log, and its calls go the
// way without it. A Log keeps names and outcomes; arguments and results pass by.
package calls
