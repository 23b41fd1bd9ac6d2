//! What a BotRun says, as plain types shared by file and cluster, and what makes it valid.
