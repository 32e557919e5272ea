"""What is said: messages, their protobuf form and every size limit."""
