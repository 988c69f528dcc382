"""Everything about models: the protocol, the engines, the manager that shares them, the tasks and the sessions."""
