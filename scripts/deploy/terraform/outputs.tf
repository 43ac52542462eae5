output "role_y_arn" {
  description = "For roleARN of the Cluster document."
  value       = aws_iam_role.y.arn
}

output "role_x_arn" {
  description = "For --role-x of scripts/setup."
  value       = local.role_x_arn
}
