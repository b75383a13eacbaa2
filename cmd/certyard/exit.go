package main

// Exit statuses. They are a contract with scripts: never reorder or renumber.
const (
	exitOK     = 0 // done
	exitFailed = 1 // something could not be done or could not be checked
	exitUsage  = 2 // wrong flags or config
	exitNotOK  = 3 // checked, and something did not pass
)
